"""Tornado on the sockets it is passed, with a drain of its own: Tornado has none."""
import asyncio
import os
import signal
import socket

import tornado.httpserver
import tornado.web


class Quick(tornado.web.RequestHandler):
    in_progress = 0
    draining = False

    def prepare(self):
        Quick.in_progress += 1

    def finish(self, chunk=None):
        if Quick.draining:
            self.set_header("Connection", "close")
        return super().finish(chunk)

    def on_finish(self):
        Quick.in_progress -= 1

    def get(self):
        self.write("ok\n")


class Slow(Quick):
    async def get(self):
        await asyncio.sleep(1)
        self.write("done\n")


def inherited():
    """The sockets of LISTEN_FDS, see sd_listen_fds(3)."""
    for fd in range(3, 3 + int(os.environ["LISTEN_FDS"])):
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        yield sock


async def main():
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    server = tornado.httpserver.HTTPServer(tornado.web.Application([("/", Quick), ("/slow", Slow)]))
    server.add_sockets(list(inherited()))
    await told.wait()
    server.stop()
    Quick.draining = True
    # A request may be on its way on a connection that was kept: each of them
    # has this time to come, and is asked to go with its answer.
    await asyncio.sleep(1)
    while Quick.in_progress:
        await asyncio.sleep(0.01)


asyncio.run(main())
