"""siege: the program of ../siege in Python, on Tornado and lastcall.py.

It has what makes stopping hard: jobs that write sets of files, locks in a
redis that is part of the program, long downloads, handlers that hang. Of
stopping it says two things only: that a lock is held as an operation, and that
a download may be cut. Processes, signals and the redis are in lastcall.toml.
"""
import argparse
import asyncio
import contextlib
import logging
import os
import shutil
import time

import redis.asyncio
import tornado.httpserver
import tornado.web

import lastcall

SLOT = os.environ.get("LASTCALL_SLOT", "0")
ACQUIRE = """if redis.call('zscore', 'locks', KEYS[1]) then return 0 end
redis.call('zadd', 'locks', ARGV[1], KEYS[1])
redis.call('hset', 'locks:owner', KEYS[1], ARGV[2])
return 1"""


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())  # one write: lines never interleave


class Locks:
    """Named locks in redis, shared by all workers: the sorted set `locks` of
    names by time, and the hash `locks:owner` of "SLOT:PID" by name."""

    def __init__(self, db):
        self.db = db

    @contextlib.asynccontextmanager
    async def hold(self, name):
        """Hold a lock, as an operation: a drain waits for it, or names it."""
        async with lastcall.operation("lock " + name):
            start = time.monotonic()
            while not await self.db.eval(ACQUIRE, 1, name, time.time(), "%s:%d" % (SLOT, os.getpid())):
                if time.monotonic() - start > 0.1:
                    raise tornado.web.HTTPError(400, reason="stream is busy")
                await asyncio.sleep(0.01)
            try:
                yield
            finally:
                await self.release(name)

    async def release(self, name):
        async with self.db.pipeline(transaction=True) as p:
            await p.zrem("locks", name).hdel("locks:owner", name).execute()

    async def release_dead(self):
        """Give back what an earlier life of this slot took and died with. One
        that still drains keeps its own."""
        released = []
        for name, owner in sorted((await self.db.hgetall("locks:owner")).items()):
            slot, _, pid = owner.partition(":")
            if slot == SLOT and int(pid) != os.getpid() and not alive(int(pid)):
                await self.release(name)
                released.append(name)
        return released

    async def all(self):
        return await self.db.zrange("locks", 0, -1)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


class Handler(tornado.web.RequestHandler):
    def initialize(self, locks, data):
        self.locks, self.data = locks, data

    def write_error(self, status_code, exc_info=(None, None, None), **kwargs):
        if isinstance(exc_info[1], lastcall.Draining):
            self.set_status(503)  # the last call has been made: another worker may do it
        self.finish(self._reason + "\n")

    def log_exception(self, kind, error, trace):
        if not isinstance(error, lastcall.Draining):  # which is no mistake
            super().log_exception(kind, error, trace)

    def number(self, name, default, kind, most):
        text = self.get_argument(name, default)
        with contextlib.suppress(ValueError):
            if 0 <= kind(text) <= most:  # which NaN is not
                return kind(text)
        raise tornado.web.HTTPError(400, reason="%s is a number up to %d" % (name, most))


class Alive(Handler):
    def get(self):
        self.write("%s %d\n" % (SLOT, os.getpid()))


class Work(Handler):
    """A set of files, whole or not at all: the parts go into NAME.part, which is
    renamed to NAME at the end."""

    async def post(self, name):
        if os.environ.get("SIEGE_WAY") == "section":
            lastcall.expendable()  # only the lock protects the job
        steps, step = self.number("steps", "5", int, 10**6), self.number("step", "0.2", float, 3600)
        if not name.isidentifier() and not name.isalnum():  # it becomes the name of a folder
            self.set_status(400)
            self.finish("a name is letters, digits and _, not %r\n" % name)
            return
        async with self.locks.hold(name):
            await self.write_set(os.path.join(self.data, name), steps, step)
            # Within: what protects the job protects its answer.
            await self.finish("done %s by %s\n" % (name, SLOT))

    async def write_set(self, final, steps, step):
        part = final + ".part"
        # What a job left when its process was killed is no part of this set.
        shutil.rmtree(part, ignore_errors=True)
        os.makedirs(part)
        try:
            for i in range(steps):
                await asyncio.sleep(step)
                with open(os.path.join(part, "part-%d" % i), "w") as f:
                    f.write("x" * 1024)
        except asyncio.CancelledError:  # a deadline has cut it: half a set is worth nothing
            shutil.rmtree(part)
            raise
        shutil.rmtree(final, ignore_errors=True)
        os.rename(part, final)


class Big(Handler):
    """A handler that nobody minds cutting: a large body, dribbled. No lock."""

    async def get(self):
        lastcall.expendable()
        for _ in range(self.number("chunks", "100", int, 10**6)):
            self.write(b"z" * 16384)
            await self.flush()
            await asyncio.sleep(0.05)


class Stuck(Handler):
    async def post(self, name):
        async with self.locks.hold(name):
            await asyncio.sleep(3600)


class Crash(Handler):
    def post(self, code):
        os._exit(int(code))


async def main():
    parser = argparse.ArgumentParser(description="a worker of siege")
    parser.add_argument("--addr", default="127.0.0.1:8080", help="address to serve on, when no supervisor passes a socket")
    parser.add_argument("--redis", default="127.0.0.1:4740", help="address of redis")
    parser.add_argument("--data", default="siege_data", help="folder for the sets of files")
    parser.add_argument("--fresh-grace", type=float, default=1)
    parser.add_argument("--expendable-grace", type=float, default=0)
    parser.add_argument("--stall-timeout", type=float, default=10)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("tornado.access").setLevel(logging.WARNING)
    os.makedirs(args.data, exist_ok=True)
    locks = Locks(redis.asyncio.Redis.from_url("redis://" + args.redis, decode_responses=True))
    released = await locks.release_dead()
    if released:
        say("child", SLOT, "released the locks of a dead worker:", released)
    shared = {"locks": locks, "data": args.data}
    app = tornado.web.Application([
        (r"/", Alive, shared), (r"/work/([^/]+)", Work, shared), (r"/big", Big, shared),
        (r"/stuck/(\w+)", Stuck, shared), (r"/crash/(\d+)", Crash, shared)])
    say("CHILD", SLOT, os.getpid())

    async def on_exit():
        try:
            say("child", SLOT, "loop stopped, locks:", await locks.all())
        except redis.ConnectionError as e:
            say("child", SLOT, "loop stopped, locks: unknown:", e)

    await lastcall.serve(
        tornado.httpserver.HTTPServer(app), args.addr,
        on_drain=lambda: say("-> stopping child", SLOT, "pid", os.getpid()), on_exit=on_exit,
        fresh_grace=args.fresh_grace, expendable_grace=args.expendable_grace, stall_timeout=args.stall_timeout)


if __name__ == "__main__":
    asyncio.run(main())
