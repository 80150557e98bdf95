"""lastcall: serve with asyncio or Tornado, and end without losing work.

One file without dependencies, for CPython 3.8 and later, on Linux; elsewhere
what it knows of stalled clients is missing. Copy it, or put it in PYTHONPATH.

    import lastcall, tornado.httpserver, tornado.web

    class Order(tornado.web.RequestHandler):
        async def post(self):
            ...                                     # a request holds the drain

    app = tornado.web.Application([("/order", Order)])
    lastcall.run(tornado.httpserver.HTTPServer(app), "127.0.0.1:8080")

Under `lastcall run` the process serves on the supervisor's sockets, says when
it is ready, answers the watchdog and tells what is in progress. Alone it binds
the address. On SIGTERM or SIGINT it drains: it accepts no more, finishes the
requests and critical operations, cuts the expendable ones, and `run` returns.
"""
import asyncio
import contextvars
import functools
import inspect
import logging
import os
import select
import signal
import socket
import struct
import sys
import threading

__all__ = ["Draining", "drain", "draining", "expendable", "operation", "ready", "run", "serve", "sockets", "status"]

log = logging.getLogger("lastcall")

_UNWIND = 0.3  # s that cut work has to unwind; the supervisor's KILL comes 0.5 s after the cut
_BATCH = 0.02  # s: requests that are shorter are not told to the supervisor
_PATIENCE = 0.1  # s for a supervisor that does not listen, where no loop can wait for it
_BACKLOG = 4096  # asyncio calls listen() again on inherited sockets: a small one would shrink a queue that is shared


class Draining(Exception):
    """The last call has been made: no operation can begin any more."""


class operation:
    """Work that a drain waits for until it ends, and that is named if it has to be cut.

    A context manager for `with` and `async with`, and a decorator for functions
    and coroutine functions, not for generators. With critical=False a drain does not wait for it: it
    is cut as soon as nothing critical is in progress.

    Once the drain has begun, entering it raises Draining, except inside a
    critical operation or request that is still in progress: what was admitted
    may do all it needs. What belongs to whom is carried by contextvars, so by
    tasks and asyncio.to_thread, but not by loop.run_in_executor.

    A cut cancels the task that has entered it: CancelledError is raised there,
    once, and there are 0.3 s to undo. Code in a thread cannot be cancelled: it
    goes on until the process ends. It may be used from any thread, and waits
    for nothing. One object is entered once at a time.
    """

    def __init__(self, name, critical=True):
        self._name, self._critical, self._entry = name, critical, None

    def __enter__(self):
        if self._entry is not None:
            raise RuntimeError("enter operation %r: it is in progress already" % self._name)
        entry = _Entry(self._name, self._critical, _current.get())
        task = _current_task()
        if task is not None:
            entry.tasks.add(task)
        _process.admit(entry)
        self._entry = entry
        _current.set(entry)
        return self

    def __exit__(self, *_):
        entry, self._entry = self._entry, None
        _current.set(entry.parent)
        _process.end(entry)

    async def __aenter__(self):
        return self.__enter__()

    async def __aexit__(self, *_):
        self.__exit__()

    def __call__(self, function):
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError("decorate %s: a generator has ended before its work begins; enter operation %r inside it" % (function.__name__, self._name))
        if inspect.iscoroutinefunction(function):
            @functools.wraps(function)
            async def wrapped(*args, **kwargs):
                with operation(self._name, self._critical):
                    return await function(*args, **kwargs)
        else:
            @functools.wraps(function)
            def wrapped(*args, **kwargs):
                with operation(self._name, self._critical):
                    return function(*args, **kwargs)
        return wrapped


def expendable():
    """Say that the request, connection or operation this code is in may be cut.

    A drain does not wait for it any more. An operation inside it is not
    affected. Outside of any it does nothing. It may be called from any thread.
    """
    entry = _current.get()
    if entry is not None:
        _process.reclass(entry, critical=False)


def drain():
    """Begin the drain, as SIGTERM does. It returns at once; only the first call
    counts. It may be called from any thread, and from handlers, hooks and handlers
    of signals."""
    _process.close()


class _DrainingEvent:
    """The event that the drain has begun. Streams and loops end by it."""

    def is_set(self):
        """Whether the drain has begun. May be called from any thread."""
        return _process.draining

    async def wait(self):
        """Return when the drain has begun. May be awaited in any event loop."""
        loop = asyncio.get_running_loop()
        begun = loop.create_future()
        waiter = (loop, begun)
        if not _process.expect(waiter):
            return
        try:
            await begun
        finally:
            _process.forget(waiter)


draining = _DrainingEvent()


def ready():
    """Tell the supervisor that this process serves. serve does it by itself; it
    is for those who use sockets(). Without a supervisor it does nothing. It may
    be called from any thread."""
    _process.supervisor.say("READY=1")


def status(text):
    """Have `lastcall status` show a line of text. Without a supervisor it does
    nothing. It may be called from any thread."""
    _process.supervisor.say("STATUS=" + _one_line(text))


def sockets(name=None):
    """Return the listening sockets that the supervisor passes under a name; with
    None all of them, if they have one name. Without a supervisor: none.

    They are the caller's, from the first call on; a second call for the same
    ones returns none. A name that does not exist, or None where there are
    several, raises LookupError. They are non-blocking, which must not be
    changed: that mode is shared with all other workers.
    """
    return _process.sockets(name)


def run(server, address=None, **options):
    """asyncio.run(serve(...)): for programs that have nothing else to run."""
    return asyncio.run(serve(server, address, **options))


async def serve(server, address=None, *, drain_timeout=None, fresh_grace=1.0, expendable_grace=0.0,
                stall_timeout=10.0, on_drain=None, on_exit=None):
    """Serve until a drain is asked for (SIGTERM, SIGINT, drain(), or the
    cancellation of this coroutine), drain, and return the names of the critical
    work that had to be cut: an empty list if all has ended by itself.

    server is a tornado.httpserver.HTTPServer without sockets; or a coroutine
    function for connections, as for asyncio.start_server, whose connections are
    each one operation, over when it returns; or a dict of such by the name of
    the listener. address is "HOST:PORT" to bind without a supervisor, or a dict
    of those by the same names; under a supervisor it is not used.

    drain_timeout is how many seconds the drain may take; under a supervisor its
    drain_timeout, if that is shorter (alone: 25). Then what is left is cut, and
    0.3 s later serve returns whatever there is. fresh_grace is how long a
    connection may take to send its first request; expendable_grace, how long
    expendable work may go on when nothing critical is left; stall_timeout, how
    long a client may neither read nor write a byte while a request of Tornado
    waits for it (Linux, TCP). All are seconds, and count in a drain only.

    on_drain, called when the last call has been made, and on_exit, called when
    nothing is in progress any more, take nothing, and may be coroutine
    functions. That one fails is logged, and holds nothing up. on_drain counts
    as an operation.

    The first SIGINT drains, the second logs what is waited for, the third cuts
    it; further SIGTERMs change nothing. It must be called in the main thread,
    and once in a process.
    """
    worker = _Worker(server, address, drain_timeout, fresh_grace, expendable_grace, stall_timeout)
    await worker.start()
    try:
        await draining.wait()
    finally:
        drain()
        cut = await worker.finish(on_drain, on_exit)
    return cut


class _Entry:
    """An operation in the books."""

    __slots__ = ("name", "critical", "parent", "tasks", "ended", "cut", "told", "close")

    def __init__(self, name, critical, parent):
        self.name, self.critical, self.parent = _one_line(name), critical, parent
        self.tasks = set()  # what a cut cancels
        self.ended = self.cut = False
        self.told = False  # the supervisor has been
        self.close = None  # what a cut does where there is no task


_current = contextvars.ContextVar("lastcall.operation", default=None)


def _current_task():
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs in this thread
        return None


def _one_line(text):
    """The protocol is made of lines, and keeps 200 bytes of a name."""
    line = " ".join(str(text).split("\n"))
    return line.encode("utf-8", "replace")[:200].decode("utf-8", "ignore")


class _Process:
    """What this process knows: the books, the supervisor, the inherited sockets.

    One lock guards the books and the flag that the drain has begun, so that
    nothing slips in between the flag and the look at what is in progress.
    """

    def __init__(self, environ):
        # One that its own thread may take twice: drain() may be in a handler of
        # package signal, which runs in the midst of whatever holds it.
        self.lock = threading.RLock()
        self.entries = {}  # what is in progress, oldest first
        self.draining = False
        self.waiters = []  # (loop, future), told when the drain begins
        self.wake = None  # called after every change in a drain, from any thread
        self.served = False
        self.supervisor = _Supervisor(environ)
        self.inherited = _inherit(environ)

    def admit(self, entry):
        with self.lock:
            if self.draining:
                # Expendable work is not waited for. Could it begin more, the
                # drain would end only when it likes.
                above = entry.parent
                while above is not None and (above.ended or above.cut or not above.critical):
                    above = above.parent
                if above is None:
                    raise Draining("begin %s: the drain has begun" % entry.name)
            self.entries[entry] = None
        self.supervisor.begun(entry, at_once=True)

    def begin(self, entry):
        """Enter a request or connection: what has come is served, and a drain
        is bounded by the connections there are."""
        with self.lock:
            self.entries[entry] = None
        self.supervisor.begun(entry, at_once=False)

    def end(self, entry):
        with self.lock:
            if entry not in self.entries:  # ended, or from before a fork
                return
            entry.ended = True
            del self.entries[entry]
        # Critical work that was cut has not ended: the supervisor names what
        # has begun, and is over only because the process is.
        if not (entry.cut and entry.critical):
            self.supervisor.ended(entry)
        self.changed()

    def reclass(self, entry, critical):
        with self.lock:
            if entry not in self.entries or entry.critical == critical:
                return
            entry.critical = critical
        self.supervisor.reclassed(entry)
        self.changed()

    def close(self):
        with self.lock:
            if self.draining:
                return
            self.draining, waiters, self.waiters = True, self.waiters, []
        for loop, begun in waiters:
            try:
                loop.call_soon_threadsafe(_resolve, begun)
            except RuntimeError:  # a loop that was closed has no waiter any more; the others have
                pass

    def expect(self, waiter):
        with self.lock:
            if not self.draining:
                self.waiters.append(waiter)
            return not self.draining

    def forget(self, waiter):
        with self.lock:
            if waiter in self.waiters:
                self.waiters.remove(waiter)

    def changed(self):
        wake = self.wake
        if self.draining and wake is not None:
            wake()

    def in_progress(self, critical):
        with self.lock:
            return [e for e in self.entries if e.critical == critical and not e.cut]

    def cut(self, entries):
        """Cancel the tasks of entries, each once: a second cancel would be
        raised in the middle of its undoing."""
        doomed = {}  # task -> what it is cancelled for
        with self.lock:
            for e in entries:
                e.cut = True
                for task in e.tasks:
                    doomed.setdefault(task, []).append(e)
        for task, causes in doomed.items():
            task.get_loop().call_soon_threadsafe(_cancel, task, causes)
        for e in entries:
            if not e.tasks and e.close is not None:
                e.close()

    def sockets(self, name):
        with self.lock:
            names = sorted(self.inherited)
            if name is None and len(names) > 1:
                raise LookupError("take inherited sockets: say which of %s" % ", ".join(names))
            if name is not None and names and name not in self.inherited:
                raise LookupError("take inherited sockets: there is no %s, but %s" % (name, ", ".join(names)))
            key = name if name is not None else "".join(names)
            taken = self.inherited.get(key, [])
            if taken:
                self.inherited[key] = []
            return taken


def _cancel(task, causes):
    # It may have left them since, and be about something else.
    if not all(e.ended for e in causes):
        task.cancel()


def _resolve(future):
    if not future.done():
        future.set_result(None)


def _inherit(environ):
    """Take the sockets of sd_listen_fds(3), by name. The variables are removed,
    so that programs this one starts do not believe them."""
    pid, count = environ.get("LISTEN_PID"), environ.get("LISTEN_FDS", "0")
    if pid != str(os.getpid()) or not count.isdigit():
        return {}
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    out = {}
    for i in range(int(count)):
        sock = socket.socket(fileno=3 + i)
        os.set_inheritable(3 + i, False)
        out.setdefault(names[i] if i < len(names) else "unknown", []).append(sock)
    for key in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"):
        environ.pop(key, None)
    return out


def _connect(path):
    """The notify socket; None, where nobody listens: then there is nobody to tell,
    which is no reason not to serve."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sock.connect(path)
    except OSError as err:
        sock.close()
        log.warning("nobody is told that this process is ready: connect to NOTIFY_SOCKET %r: %s", path, err)
        return None
    sock.setblocking(False)
    return sock


class _Supervisor:
    """The notify socket, sd_notify(3), and what lastcall adds to it.

    While a loop serves nothing here waits: what the supervisor has no room for
    is kept and sent when it has. Before and after it waits for a moment. Its
    methods may be called from any thread.
    """

    def __init__(self, environ):
        self.lock = threading.Lock()
        self.loop = None  # that serves
        self.begins, self.ends = {}, []  # not told yet
        self.texts = []  # datagrams the socket had no room for
        self.scheduled = False
        self.socket = None
        path = environ.pop("NOTIFY_SOCKET", "")
        if path:
            self.socket = _connect("\0" + path[1:] if path[0] == "@" else path)
        usec, pid = environ.pop("WATCHDOG_USEC", "0"), environ.pop("WATCHDOG_PID", str(os.getpid()))
        self.watchdog = int(usec) / 1e6 if usec.isdigit() and pid == str(os.getpid()) else 0
        usec = environ.get("LASTCALL_DRAIN_USEC", "0")
        self.drain = int(usec) / 1e6 if usec.isdigit() else 0

    def say(self, *lines):
        if self.socket is None:
            return
        with self.lock:
            self.texts.append("\n".join(lines).encode())
            self._send()

    def begun(self, entry, at_once):
        if self.socket is None:
            return
        with self.lock:
            self.begins[entry] = None
            self._flush(at_once)

    def ended(self, entry):
        if self.socket is None:
            return
        with self.lock:
            if entry.told:
                self.ends.append(entry.name)
                self._flush(False)
            else:
                self.begins.pop(entry, None)  # too short to be told

    def reclassed(self, entry):
        if self.socket is None or not entry.told:
            return
        with self.lock:
            entry.told = False
            self.ends.append(entry.name)
            self.begins[entry] = None
            self._flush(False)

    def flush(self):
        if self.socket is None:
            return
        with self.lock:
            self.scheduled = False
            self._flush(True)

    def _flush(self, now):
        if not now and self.loop is not None:
            if not self.scheduled:
                self.scheduled = True
                self._call(self.loop.call_later, _BATCH, self.flush)
            return
        if self.texts:
            # It does not listen. What waits here may come to an end, and then
            # there is nothing to tell: its memory is that of what is in progress.
            self._send()
            if self.texts:
                return
        lines = ["X_LASTCALL_END=" + name for name in self.ends]
        # The class stands before those it is of, in the same datagram.
        for critical, head in ((True, []), (False, ["X_LASTCALL_CLASS=expendable"])):
            begins = [e for e in self.begins if e.critical == critical]
            lines += ["X_LASTCALL_BEGIN=" + e.name for e in begins]
            for i in range(0, len(lines), 16):  # of 220 bytes at the most: it takes 4096
                self.texts.append("\n".join(head + lines[i:i + 16]).encode())
            lines = []
            for e in begins:
                e.told = True
        self.begins, self.ends = {}, []
        self._send()

    def _send(self):
        while self.texts:
            try:
                self.socket.send(self.texts[0])
            except BlockingIOError:
                if self.loop is not None:
                    self._call(self.loop.add_writer, self.socket, self._resume)
                    return
                room = select.poll()
                room.register(self.socket, select.POLLOUT)
                if not room.poll(_PATIENCE * 1000):
                    return
                continue
            except OSError:  # the supervisor is gone, and TERM is on its way from the guard
                self.texts.clear()
                return
            self.texts.pop(0)

    def _resume(self):
        with self.lock:
            if self.loop is not None:
                self.loop.remove_writer(self.socket)
            self._flush(True)

    def _call(self, function, *args):
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop has been closed
            self.loop = None

    def attach(self, loop):
        """From now on what takes time is done in a loop; None: at once again."""
        with self.lock:
            if self.socket is not None and self.loop is not None:
                self.loop.remove_writer(self.socket)
            self.loop = loop
        self.flush()
        if loop is not None and self.watchdog:
            self._ping(loop)

    def _ping(self, loop):
        if self.loop is loop:
            self.say("WATCHDOG=1")
            loop.call_later(self.watchdog / 2, self._ping, loop)


class _Worker:
    """One call of serve."""

    def __init__(self, server, address, drain_timeout, fresh_grace, expendable_grace, stall_timeout):
        self.loop = asyncio.get_running_loop()
        self.supervisor = _process.supervisor
        limits = [t for t in (drain_timeout, self.supervisor.drain or None) if t is not None]
        self.drain_timeout = min(limits) if limits else 25.0
        self.fresh_grace, self.expendable_grace, self.stall_timeout = fresh_grace, expendable_grace, stall_timeout
        servers = server if isinstance(server, dict) else {None: server}
        addresses = address if isinstance(address, dict) else {name: address for name in servers}
        self.servers = [(name, _adapt(s), addresses.get(name)) for name, s in servers.items()]
        self.woken = asyncio.Event()
        self.interrupts = 0
        self.cut_now = False

    async def start(self):
        if _process.served:
            raise RuntimeError("serve: it was called before in this process")
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("serve: signals reach the main thread only; call it there")
        _process.served = True
        self.loop.add_signal_handler(signal.SIGTERM, drain)
        self.loop.add_signal_handler(signal.SIGINT, self._interrupted)
        _process.wake = self._wake
        for name, server, address in self.servers:
            server.start(_listeners(name, address))
            await server.started()
        self.supervisor.attach(self.loop)
        ready()

    def _wake(self):
        try:
            self.loop.call_soon_threadsafe(self.woken.set)
        except RuntimeError:  # a thread's work has outlived the loop
            pass

    def _interrupted(self):
        drain()
        self.interrupts += 1
        if self.interrupts == 2:
            log.warning("still draining; interrupt again to cut: %s", _names(_process.in_progress(critical=True)))
        self.cut_now = self.interrupts > 2
        self.woken.set()

    async def finish(self, on_drain, on_exit):
        deadline = self.loop.time() + self.drain_timeout
        self.supervisor.say("STOPPING=1")
        self.supervisor.flush()
        for _, server, _ in self.servers:
            await server.quiet()
        if on_drain is not None:
            entry = _Entry("on_drain", True, None)
            _process.begin(entry)
            task = self.loop.create_task(self._hook("on_drain", on_drain, entry))
            entry.tasks.add(task)
        fresh = min(deadline, self.loop.time() + self.fresh_grace)
        cut = await self._wait(deadline, fresh)
        for _, server, _ in self.servers:
            server.close()
        if on_exit is not None:
            left = max(deadline - self.loop.time(), _UNWIND)
            task = self.loop.create_task(self._hook("on_exit", on_exit, None))
            if not (await asyncio.wait([task], timeout=left))[0]:
                log.error("on_exit has not returned in time")
        # The loop is about to end: what is still to be told is told now.
        self.supervisor.attach(None)
        return cut

    async def _hook(self, name, hook, entry):
        _current.set(entry)
        try:
            got = hook()
            if inspect.isawaitable(got):
                await got
        except Exception:
            log.exception("%s failed", name)
        finally:
            if entry is not None:
                _process.end(entry)

    async def _wait(self, deadline, fresh):
        """Wait for what a drain waits for, cut the rest, and return the names of
        what was critical of it."""
        cut, spare = [], None  # when expendable work is
        while True:
            self.woken.clear()
            now = self.loop.time()
            critical, rest = _process.in_progress(True), _process.in_progress(False)
            stalled = [e for _, s, _ in self.servers for e in s.stalled(now, self.stall_timeout)]
            if stalled:
                cut += [e.name for e in stalled if e.critical]
                log.warning("cut, because the client has stalled: %s", _names(stalled))
                _process.cut(stalled)
                continue
            if now >= fresh:
                for _, server, _ in self.servers:
                    server.hang_up()
            waiting = any(server.waiting() for _, server, _ in self.servers)
            if critical or waiting:
                spare = None
            elif _process.entries:  # else what has been cut unwinds
                grace = self.expendable_grace if rest else _UNWIND
                spare = spare if spare is not None else now + grace
            else:
                return cut
            limit = deadline if spare is None else min(deadline, spare)
            if now >= limit or self.cut_now:
                break
            times = [limit] + ([fresh] if now < fresh else []) + [t for _, s, _ in self.servers for t in s.looks(now, self.stall_timeout)]
            await self._look(min(times) - now)
        if critical:
            log.error("cut at the deadline: %s", _names(critical))
        if rest:
            log.info("cut expendable operations: %s", _names(rest))
        _process.cut(critical + rest)
        end = self.loop.time() + _UNWIND
        while _process.entries and self.loop.time() < end:
            self.woken.clear()
            await self._look(end - self.loop.time())
        return cut + [e.name for e in critical]

    async def _look(self, seconds):
        """Wait for a change, or for some seconds."""
        try:
            await asyncio.wait_for(self.woken.wait(), max(seconds, 0.001))
        except asyncio.TimeoutError:
            pass


def _names(entries):
    return ", ".join(e.name for e in entries)


def _listeners(name, address):
    """The inherited sockets, or one bound to an address."""
    inherited = sockets(name)
    if inherited:
        return inherited
    if address is None:
        raise ValueError("serve %s: no socket was inherited, and there is no address to bind" % (name or "server"))
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError('serve: the address is "HOST:PORT", not %r' % address)
    host = host.strip("[]")
    everywhere = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if everywhere or ":" in host else socket.AF_INET
    sock = socket.create_server((host, int(port)), family=family, backlog=_BACKLOG, dualstack_ipv6=everywhere)
    sock.setblocking(False)
    return [sock]


def _adapt(server):
    if hasattr(server, "add_sockets") and hasattr(server, "start_request"):
        return _Tornado(server)
    if callable(server):
        return _Streams(server)
    raise TypeError("serve: a server is an HTTPServer of Tornado or a function for connections, not %r" % (server,))


class _Server:
    """What both kinds of servers do. Connections have an attribute entry, the
    operation in progress on it, None for none."""

    def __init__(self):
        self.listeners = []
        self.connections = set()

    async def quiet(self):
        """Take what the kernel has accepted, then no more, and say goodbye."""
        await self._accept_rest()
        self.stop()
        for _ in range(5):  # asyncio needs four turns from accept to the handler
            await asyncio.sleep(0)

    async def _accept_rest(self):
        """The supervisor has the kernel take no newcomers on a final stop, so
        this ends; on a roll others accept from the same queue, so 50 ms do."""
        loop = asyncio.get_running_loop()
        end, queues = loop.time() + 0.05, select.poll()
        for sock in self.listeners:
            queues.register(sock, select.POLLIN)
        while loop.time() < end and any(event == select.POLLIN for _, event in queues.poll(0)):
            await asyncio.sleep(0)

    def stalled(self, now, timeout):
        """The operations whose clients have moved no byte for too long."""
        return [c.entry for c in list(self.connections) if c.awaits_client() and c.still(now) >= timeout]

    def looks(self, now, timeout):
        """When stalled may find the next one."""
        return [now + max(timeout - c.still(now), timeout / 4) for c in self.connections if c.awaits_client()]

    def waiting(self):
        """Whether connections may still send a request."""
        return False

    def hang_up(self):
        """Close those that have not."""


class _Connection:
    """A connection, and what its client has moved."""

    def __init__(self):
        self.entry = None
        self.moved, self.since = None, None

    def still(self, now):
        """For how long no byte has moved, as far as it was looked at."""
        moved = _bytes_moved(self.socket())
        if moved is None or moved != self.moved:
            self.moved, self.since = moved, now
        return now - self.since


def _bytes_moved(sock):
    """Bytes acknowledged and received, of Linux's struct tcp_info; else None."""
    if sys.platform != "linux" or sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
    except OSError:
        return None
    return struct.unpack_from("=QQ", info, 120) if len(info) >= 136 else None


class _Streams(_Server):
    """Connections of asyncio's streams."""

    def __init__(self, handler):
        super().__init__()
        self.handler, self.servers = handler, []

    def start(self, listeners):
        self.listeners = listeners

    async def started(self):
        for sock in self.listeners:
            self.servers.append(await asyncio.start_server(self._connected, sock=sock, backlog=_BACKLOG))

    def _connected(self, reader, writer):
        c = _Stream(writer)
        peer = writer.get_extra_info("peername")
        c.entry = _Entry("connection from %s:%s" % peer[:2] if isinstance(peer, tuple) else "connection", True, None)
        c.entry.close = writer.transport.abort
        # Before the task runs: from here on a drain must not miss it.
        _process.begin(c.entry)
        self.connections.add(c)
        c.entry.tasks.add(asyncio.get_running_loop().create_task(self._serve(c, reader, writer)))

    async def _serve(self, c, reader, writer):
        _current.set(c.entry)
        try:
            await self.handler(reader, writer)
            writer.close()
            await writer.wait_closed()
        except Exception as err:
            # That the client has gone is no failure; a file that is not there is.
            if not (isinstance(err, OSError) and writer.is_closing()):
                log.exception("the handler of a %s failed", c.entry.name)
        except asyncio.CancelledError:
            if not c.entry.cut:
                raise
        finally:
            if c.entry.cut:
                writer.transport.abort()
            writer.close()
            self.connections.discard(c)
            _process.end(c.entry)

    def stop(self):
        for server in self.servers:
            server.close()

    def close(self):
        for c in list(self.connections):
            c.writer.transport.abort()


class _Stream(_Connection):
    def __init__(self, writer):
        super().__init__()
        self.writer = writer

    def socket(self):
        return self.writer.get_extra_info("socket")

    def awaits_client(self):
        return not self.entry.cut and self.writer.transport.get_write_buffer_size() > 0


class _Tornado(_Server):
    """An HTTPServer of Tornado, 6.0 and later, seen through the interfaces that
    tornado.httputil documents: start_request comes before the headers are read,
    and again, or on_close, when the request is over."""

    def __init__(self, server):
        super().__init__()
        self.server = server
        self.by_connection = {}
        self.leaving = False
        self._start_request, self._on_close = server.start_request, server.on_close
        server.start_request, server.on_close = self.start_request, self.on_close

    def start(self, listeners):
        self.listeners = listeners
        self.server.add_sockets(listeners)

    async def started(self):
        pass

    def start_request(self, server_conn, request_conn):
        c = self.by_connection.get(server_conn)
        if c is None:
            c = self.by_connection[server_conn] = _HTTPConnection(server_conn)
            self.connections.add(c)
        else:
            c.over()
            _current.set(None)
            if self.leaving:
                c.stream.close()
                return _Deaf()
        return _Request(self, c, request_conn, self._start_request(server_conn, request_conn))

    def on_close(self, server_conn):
        c = self.by_connection.pop(server_conn, None)
        if c is not None:
            self.connections.discard(c)
            c.over()
            _process.changed()
        self._on_close(server_conn)

    def stop(self):
        self.server.stop()
        self.leaving = True
        for c in list(self.connections):
            if c.request is not None:
                c.request.say_close()
            elif c.used and not c.readable():
                c.stream.close()

    def waiting(self):
        return any(c.entry is None for c in self.connections)

    def hang_up(self):
        for c in list(self.connections):
            if c.entry is None:
                c.stream.close()

    def close(self):
        for c in list(self.connections):
            c.stream.close()


class _HTTPConnection(_Connection):
    def __init__(self, server_conn):
        super().__init__()
        self.stream = server_conn.stream
        self.request = None  # in progress
        self.used = False

    def over(self):
        request, self.request, self.entry = self.request, None, None
        if request is not None:
            request.left()

    def socket(self):
        return self.stream.socket

    def readable(self):
        """Whether bytes have come that nobody has read: a request is on its way."""
        queue = select.poll()
        queue.register(self.stream.socket, select.POLLIN)
        return bool(queue.poll(0))

    def awaits_client(self):
        return self.request is not None and not self.entry.cut and (not self.request.read or self.stream.writing())


class _Deaf:
    """The HTTPMessageDelegate of what has come behind the last request of a
    connection: the stream is closed, but what it has read it still gives out."""

    def headers_received(self, start_line, headers):
        pass

    def data_received(self, chunk):
        pass

    def finish(self):
        pass

    def on_connection_close(self):
        pass


class _Request:
    """An HTTPMessageDelegate around that of the application. The request is an
    operation from its headers until both its handler and its response have
    ended, also when the client has left before."""

    def __init__(self, server, connection, request_conn, delegate):
        self.server, self.connection, self.request_conn, self.delegate = server, connection, request_conn, delegate
        self.read = self.gone = False
        self.entry = None

    def headers_received(self, start_line, headers):
        c = self.connection
        self.entry = c.entry = _Entry("%s %s" % (start_line.method, start_line.path.partition("?")[0]), True, None)
        self.entry.close = c.stream.close
        c.request, c.used = self, True
        _process.begin(self.entry)
        _current.set(self.entry)  # in the task of this connection, and so in all it starts
        if self.server.leaving:
            self.say_close()
        return self._collect(self.delegate.headers_received, start_line, headers)

    def data_received(self, chunk):
        return self.delegate.data_received(chunk)

    def finish(self):
        self.read = True
        self._collect(self.delegate.finish)

    def on_connection_close(self):
        self.delegate.on_connection_close()

    def say_close(self):
        write_headers = self.request_conn.write_headers

        def with_close(start_line, headers, chunk=None):
            headers["Connection"] = "close"
            return write_headers(start_line, headers, chunk)

        self.request_conn.write_headers = with_close

    def left(self):
        """Its connection is done with it."""
        self.gone = True
        if self.entry.tasks and self.request_conn.stream is None:
            # Detached: a WebSocket, whose handler lasts as long as it does.
            _process.reclass(self.entry, critical=False)
        self._settle()

    def _settle(self):
        if self.gone and not self.entry.tasks:
            _process.end(self.entry)

    def _collect(self, function, *args):
        """Call function, and keep the tasks it makes: Tornado starts the handler
        in one that it does not give away. The call is synchronous, so that no
        task of anybody else comes between."""
        loop = asyncio.get_running_loop()
        before = loop.get_task_factory()

        def factory(loop, coro, **options):
            if inspect.iscoroutine(coro):
                coro = self._guarded(coro)
            task = before(loop, coro, **options) if before is not None else asyncio.Task(coro, loop=loop, **options)
            self.entry.tasks.add(task)
            task.add_done_callback(self._task_done)
            return task

        loop.set_task_factory(factory)
        try:
            return function(*args)
        finally:
            loop.set_task_factory(before)

    async def _guarded(self, coro):
        try:
            return await coro
        except asyncio.CancelledError:
            # A cut is no failure of the handler, which Tornado would log.
            if not self.entry.cut:
                raise
            self.connection.stream.close()

    def _task_done(self, task):
        self.entry.tasks.discard(task)
        self._settle()


_process = _Process(os.environ)


def _after_fork():
    # Neither the sockets nor the operations of the parent are the child's.
    global _process
    _process = _Process({})


os.register_at_fork(after_in_child=_after_fork)
