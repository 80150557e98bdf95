"""Tests of lastcall.py: /usr/bin/python3 -m unittest, in this folder.

They need Tornado. The supervisor is a datagram socket of the test's own; the
signals, sockets and deadlines are real.
"""
import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

import tornado.httpserver
import tornado.web
import tornado.websocket

import lastcall

LIMIT = 20  # s: for machines that are busy, not for what is slow


class Supervisor:
    """What listens on NOTIFY_SOCKET."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.dir.name, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.heard = []  # datagrams

    def listen(self):
        try:
            while True:
                self.heard.append(self.socket.recv(1 << 16).decode())
        except BlockingIOError:
            return self.heard

    def lines(self):
        return [line for text in self.listen() for line in text.split("\n")]

    def close(self):
        self.socket.close()
        self.dir.cleanup()


class Case(unittest.IsolatedAsyncioTestCase):
    """A process of its own for each test, as far as lastcall knows."""

    def setUp(self):
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        self.supervisor = Supervisor()
        self.addCleanup(self.supervisor.close)
        self.born({"NOTIFY_SOCKET": self.supervisor.path})
        self.addCleanup(self.born, {})

    def born(self, environ):
        if lastcall._process.supervisor.socket is not None:
            lastcall._process.supervisor.socket.close()
        lastcall._process = lastcall._Process(environ)
        lastcall._current.set(None)

    async def until(self, what, holds):
        end = asyncio.get_running_loop().time() + LIMIT
        while not holds():
            self.assertLess(asyncio.get_running_loop().time(), end, "never: " + what)
            await asyncio.sleep(0.002)

    async def heard(self, line):
        await self.until("the supervisor hears " + line, lambda: line in self.supervisor.lines())

    async def serve(self, server, **options):
        """Serve on a free port; returns the task, and sets self.port."""
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        task = asyncio.ensure_future(lastcall.serve(server, "127.0.0.1:%d" % self.port, **options))
        await self.heard("READY=1")
        return task

    async def ended(self, task):
        return await asyncio.wait_for(task, LIMIT)

    async def dial(self, text=""):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.addCleanup(writer.close)
        writer.write(text.encode())
        return reader, writer

    async def rest(self, reader):
        """What comes until the server closes; "reset" if it breaks off."""
        try:
            return (await asyncio.wait_for(reader.read(), LIMIT)).decode()
        except ConnectionResetError:
            return "reset"

    def refused(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) != 0


def get(path, more=""):
    return "GET %s HTTP/1.1\r\nHost: test\r\n%s\r\n" % (path, more)


class Handler(tornado.web.RequestHandler):
    """What a test does with its requests is in self.application.settings."""

    async def get(self, name):
        await self.settings["act"](self, name)

    async def post(self, name):
        await self.settings["act"](self, name)


class Echo(tornado.websocket.WebSocketHandler):
    def on_message(self, message):
        self.write_message(message)


def site(act):
    return tornado.httpserver.HTTPServer(tornado.web.Application([("/socket", Echo), ("/(.*)", Handler)], act=act))


class Gate:
    """A handler that waits until the test lets it go on."""

    def __init__(self):
        self.entered, self.open, self.done, self.cut = [], asyncio.Event(), [], []

    async def __call__(self, handler, name):
        self.entered.append(name)
        if name.startswith("expendable"):
            lastcall.expendable()
        if not name.startswith("quick"):
            try:
                await self.open.wait()
            except asyncio.CancelledError:
                self.cut.append(name)
                raise
        self.done.append(name)
        handler.write(name + "\n")


class OperationTest(Case):
    async def test_refused_once_draining(self):
        with lastcall.operation("before"):
            pass
        lastcall.drain()
        self.assertTrue(lastcall.draining.is_set())
        with self.assertRaisesRegex(lastcall.Draining, "begin after: "):
            with lastcall.operation("after"):
                self.fail("it was admitted")

    async def test_inside_what_was_admitted(self):
        async with lastcall.operation("outer"):
            with lastcall.operation("expendable", critical=False):
                lastcall.drain()
                with lastcall.operation("inner"):
                    pass
                await asyncio.ensure_future(self.enter("task"))
            await asyncio.get_running_loop().run_in_executor(None, self.refuse)  # has no context of ours
        with self.assertRaises(lastcall.Draining):
            await self.enter("later")

    async def enter(self, name):
        async with lastcall.operation(name):
            pass

    def refuse(self):
        with self.assertRaises(lastcall.Draining):
            lastcall.operation("thread").__enter__()

    async def test_expendable_work_admits_nothing(self):
        with lastcall.operation("may be cut", critical=False):
            lastcall.drain()
            with self.assertRaises(lastcall.Draining):
                await self.enter("inner")

    async def test_task_that_outlives_its_operation(self):
        go = asyncio.Event()

        async def later():
            await go.wait()
            await self.enter("inner")

        with lastcall.operation("outer"):
            task = asyncio.ensure_future(later())
        lastcall.drain()
        go.set()
        with self.assertRaises(lastcall.Draining):
            await task

    async def test_decorator(self):
        @lastcall.operation("whole")
        async def whole(n):
            return n + 1

        @lastcall.operation("sync")
        def sync(n):
            return n + 2

        self.assertEqual((await asyncio.gather(whole(1), whole(2)), sync(1)), ([2, 3], 3))
        self.assertEqual(self.supervisor.lines().count("X_LASTCALL_BEGIN=whole"), 2)
        lastcall.drain()
        with self.assertRaises(lastcall.Draining):
            sync(1)
        with self.assertRaises(lastcall.Draining):
            await whole(1)

    async def test_decorates_no_generator(self):
        """One would hold a drain until it is made, and not until it is over."""
        def rows():
            yield 1

        async def chunks():
            yield 1

        for function in (rows, chunks):
            with self.assertRaisesRegex(TypeError, "decorate %s: .* operation 'stream'" % function.__name__):
                lastcall.operation("stream")(function)

    async def test_entered_once_at_a_time(self):
        op = lastcall.operation("once")
        with op:
            with self.assertRaises(RuntimeError):
                op.__enter__()
        with op:
            pass

    async def test_what_the_supervisor_is_told(self):
        with lastcall.operation("a\nREADY=1" + "ü" * 200):
            with lastcall.operation("b", critical=False):
                pass
        begin, b, end_b, end = self.supervisor.listen()
        name = begin.partition("=")[2]
        self.assertTrue(begin.startswith("X_LASTCALL_BEGIN=a READY=1ü"))
        self.assertEqual(len(name.encode()), 199)  # half a letter is none
        self.assertEqual((b, end_b), ("X_LASTCALL_CLASS=expendable\nX_LASTCALL_BEGIN=b", "X_LASTCALL_END=b"))
        self.assertEqual(end, "X_LASTCALL_END=" + name)

    async def test_many_threads(self):
        """The books are right, and nothing is lost, though nobody listens."""
        task = await self.serve({})

        def work():
            for _ in range(200):
                with lastcall.operation("threads"):
                    pass

        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        await asyncio.get_running_loop().run_in_executor(None, lambda: [t.join(LIMIT) for t in threads])
        def told():
            lines = self.supervisor.lines()
            begun = lines.count("X_LASTCALL_BEGIN=threads")
            link = lastcall._process.supervisor
            return begun > 0 and begun == lines.count("X_LASTCALL_END=threads") and not (link.texts or link.begins or link.ends)

        await self.until("all is told", told)
        self.assertEqual(lastcall._process.entries, {})
        self.assertTrue(all(len(text) <= 4096 for text in self.supervisor.heard))
        lastcall.drain()
        self.assertEqual(await self.ended(task), [])

    async def test_thread_holds_the_drain(self):
        task, go = await self.serve({}, fresh_grace=1000, drain_timeout=1000), threading.Event()

        def work():
            with lastcall.operation("thread"):
                go.wait(LIMIT)

        thread = threading.Thread(target=work)
        thread.start()
        await self.heard("X_LASTCALL_BEGIN=thread")
        lastcall.drain()
        await self.heard("STOPPING=1")
        await asyncio.sleep(0.05)
        self.assertFalse(task.done())
        go.set()
        self.assertEqual(await self.ended(task), [])
        thread.join()


class ServeTest(Case):
    async def test_signals(self):
        for sig in (signal.SIGTERM, signal.SIGINT):
            self.born({"NOTIFY_SOCKET": self.supervisor.path})
            self.supervisor.heard.clear()
            gate = Gate()
            task = await self.serve(site(gate))
            reader, _ = await self.dial(get("/a"))
            await self.until("it is in progress", lambda: gate.entered)
            os.kill(os.getpid(), sig)
            await self.until("it refuses", self.refused)
            for _ in range(100 if sig == signal.SIGTERM else 1):  # more change nothing
                os.kill(os.getpid(), sig)
            await asyncio.sleep(0.02)
            self.assertFalse(task.done())
            gate.open.set()
            text = await self.rest(reader)
            self.assertIn("200 OK", text)
            self.assertIn("Connection: close", text)
            self.assertEqual(await self.ended(task), [])
            self.assertEqual([line for line in self.supervisor.lines() if line in ("READY=1", "STOPPING=1")], ["READY=1", "STOPPING=1"])

    async def test_third_interrupt_cuts(self):
        gate = Gate()
        task = await self.serve(site(gate), drain_timeout=1000)
        await self.dial(get("/a"))
        await self.until("it is in progress", lambda: gate.entered)
        for _ in range(3):
            self.assertFalse(task.done())
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.02)  # several of one signal may be one
        self.assertEqual(await self.ended(task), ["GET /a"])

    async def test_cancelled(self):
        gate = Gate()
        task = await self.serve(site(gate))
        reader, _ = await self.dial(get("/a"))
        await self.until("it is in progress", lambda: gate.entered)
        task.cancel()
        await self.until("it drains", lastcall.draining.is_set)
        gate.open.set()
        self.assertIn("200 OK", await self.rest(reader))
        with self.assertRaises(asyncio.CancelledError):
            await self.ended(task)

    async def test_drain_timeout_of_the_supervisor(self):
        self.born({"NOTIFY_SOCKET": self.supervisor.path, "LASTCALL_DRAIN_USEC": "200000"})
        gate = Gate()
        task = await self.serve(site(gate))
        reader, _ = await self.dial(get("/a?secret=1"))
        await self.heard("X_LASTCALL_BEGIN=GET /a")
        begin = asyncio.get_running_loop().time()
        lastcall.drain()
        self.assertEqual(await self.ended(task), ["GET /a"])
        self.assertGreaterEqual(asyncio.get_running_loop().time() - begin, 0.2)
        self.assertEqual((gate.cut, gate.done), (["a"], []))
        self.assertEqual(await self.rest(reader), "")
        # So that the supervisor names it: it has begun, and has not ended.
        self.assertNotIn("X_LASTCALL_END=GET /a", self.supervisor.lines())

    async def test_undoing_is_not_disturbed(self):
        """One cancellation, though the task is of two operations."""
        undone, entered = [], asyncio.Event()

        async def act(handler, name):
            with lastcall.operation("inner"):
                try:
                    entered.set()
                    await asyncio.sleep(1000)
                finally:
                    await asyncio.sleep(0.01)
                    task = asyncio.current_task()
                    undone.append((name, task.cancelling() if hasattr(task, "cancelling") else 1))

        task = await self.serve(site(act), drain_timeout=0.05)
        await self.dial(get("/a"))
        await entered.wait()
        lastcall.drain()
        self.assertEqual(sorted(await self.ended(task)), ["GET /a", "inner"])
        self.assertEqual(undone, [("a", 1)])

    async def test_what_does_not_unwind_is_left(self):
        async def act(handler, name):
            while not over:
                try:
                    entered.set()
                    await asyncio.sleep(1000)
                except asyncio.CancelledError:
                    cancelled.append(name)

        entered, cancelled, over = asyncio.Event(), [], []
        task = await self.serve(site(act), drain_timeout=0.05)
        await self.dial(get("/a"))
        await entered.wait()
        lastcall.drain()
        self.assertEqual((await self.ended(task), cancelled), (["GET /a"], ["a"]))
        over.append(True)

    async def test_hooks(self):
        said = []

        async def on_drain():
            await asyncio.sleep(0.02)
            with lastcall.operation("in the hook"):
                said.append("drain")

        def on_exit():
            said.append("exit")
            raise ValueError("planted")

        task = await self.serve({}, on_drain=on_drain, on_exit=on_exit)
        lastcall.drain()
        self.assertEqual((await self.ended(task), said), ([], ["drain", "exit"]))

    async def test_failing_and_hanging_hooks(self):
        def on_drain():
            raise ValueError("planted")

        async def on_exit():
            await asyncio.sleep(1000)

        logging.disable(logging.NOTSET)
        task = await self.serve({}, on_drain=on_drain, on_exit=on_exit, drain_timeout=0.05)
        lastcall.drain()
        with self.assertLogs("lastcall") as logs:
            self.assertEqual(await self.ended(task), [])
        self.assertEqual([r.getMessage() for r in logs.records], ["on_drain failed", "on_exit has not returned in time"])

    async def test_watchdog(self):
        self.born({"NOTIFY_SOCKET": self.supervisor.path, "WATCHDOG_USEC": "20000"})
        task = await self.serve({})
        await self.until("three signs of life", lambda: self.supervisor.lines().count("WATCHDOG=1") >= 3)
        lastcall.drain()
        await self.ended(task)

    async def test_nobody_at_the_notify_socket(self):
        logging.disable(logging.NOTSET)
        for path in (self.supervisor.path + "-gone", "vsock:2:1234", "@nobody/" + self.supervisor.path):
            with self.assertLogs("lastcall", "WARNING") as logs:
                self.born({"NOTIFY_SOCKET": path})
            self.assertIn("connect to NOTIFY_SOCKET", logs.output[0])
            lastcall.ready()
            with lastcall.operation("a"):
                pass

    async def test_drain_in_a_handler_of_a_signal(self):
        """It may come while this very thread holds the books."""
        def drain():
            with lastcall._process.lock:
                lastcall.drain()

        thread = threading.Thread(target=drain, daemon=True)
        thread.start()
        await self.until("it returns", lambda: not thread.is_alive())
        self.assertTrue(lastcall.draining.is_set())

    async def test_waiter_of_a_closed_loop(self):
        """It does not keep the others from hearing of the drain."""
        loop = asyncio.new_event_loop()
        lost = loop.create_task(lastcall.draining.wait())
        await asyncio.get_running_loop().run_in_executor(None, loop.run_until_complete, asyncio.sleep(0))
        loop.close()
        task = await self.serve({})
        lastcall.drain()
        self.assertEqual(await self.ended(task), [])
        self.assertFalse(lost.done())
        lost._log_destroy_pending = False

    async def test_supervisor_gone(self):
        gate = Gate()
        task = await self.serve(site(gate))
        reader, _ = await self.dial(get("/a"))
        await self.heard("X_LASTCALL_BEGIN=GET /a")
        self.supervisor.socket.close()
        os.kill(os.getpid(), signal.SIGTERM)  # the guard's
        await self.until("it refuses", self.refused)
        gate.open.set()
        self.assertIn("200 OK", await self.rest(reader))
        self.assertEqual(await self.ended(task), [])

    async def test_supervisor_that_hangs(self):
        """It holds up neither the work nor the end."""
        task = await self.serve({})
        for i in range(2000):  # more than any queue takes
            with lastcall.operation("op"):
                pass
            if i % 10 == 0:
                await asyncio.sleep(0)
        self.assertLess(len(lastcall._process.supervisor.texts), 20)
        lastcall.drain()
        self.assertEqual(await self.ended(task), [])

    async def test_bad_arguments(self):
        for server, address, kind, text in (
            (site(None), None, ValueError, "no address to bind"),
            (site(None), "8080", ValueError, '"HOST:PORT"'),
            (7, "127.0.0.1:0", TypeError, "not 7"),
        ):
            self.born({})
            with self.assertRaisesRegex(kind, text):
                await lastcall.serve(server, address)

    async def test_serves_once(self):
        task = await self.serve({})
        with self.assertRaisesRegex(RuntimeError, "before in this process"):
            await lastcall.serve({})
        lastcall.drain()
        await self.ended(task)

    async def test_status(self):
        lastcall.status("warm\ning up")
        self.assertEqual(self.supervisor.listen(), ["STATUS=warm ing up"])
        self.born({})
        lastcall.status("nobody is told")
        lastcall.ready()


class TornadoTest(Case):
    async def drained(self, task):
        self.assertEqual(await self.ended(task), [])

    async def test_idle_and_busy_connections(self):
        gate = Gate()
        task = await self.serve(site(gate), fresh_grace=1000)
        idle, _ = await self.dial(get("/quick"))
        busy, _ = await self.dial(get("/a") + get("/never"))  # B12: pipelined
        await idle.readuntil(b"quick\n")
        await self.until("it is in progress", lambda: "a" in gate.entered)
        lastcall.drain()
        self.assertEqual(await self.rest(idle), "")  # while the other is in progress
        await self.until("it refuses", self.refused)
        gate.open.set()
        text = await self.rest(busy)
        self.assertEqual((text.count("200 OK"), text.count("Connection: close")), (1, 1))
        await self.drained(task)
        self.assertEqual(gate.done, ["quick", "a"])

    async def test_fresh_connections(self):
        task = await self.serve(site(Gate()), fresh_grace=2)
        half, _ = await self.dial("GET / HT")
        late, writer = await self.dial()
        await asyncio.sleep(0.02)
        lastcall.drain()
        await self.until("it refuses", self.refused)
        writer.write(get("/quick").encode())
        text = await self.rest(late)
        self.assertIn("quick\n", text)
        self.assertIn("Connection: close", text)
        self.assertFalse(task.done())
        self.assertEqual(await self.rest(half), "")
        await self.drained(task)

    async def test_queued_connections_are_served(self):
        """What the kernel has accepted when the drain begins is not reset."""
        task = await self.serve(site(Gate()))
        link = lastcall._process.supervisor
        say, queued = link.say, socket.socket()
        self.addCleanup(queued.close)

        def at_the_last_moment(*lines):
            if lines == ("STOPPING=1",):
                queued.connect(("127.0.0.1", self.port))
                queued.sendall(get("/quick").encode())
            say(*lines)

        link.say = at_the_last_moment
        lastcall.drain()
        await self.drained(task)
        queued.settimeout(LIMIT)
        self.assertIn(b"200 OK", queued.recv(4096))

    async def test_client_gone(self):
        gate = Gate()
        task = await self.serve(site(gate))
        _, writer = await self.dial(get("/a"))
        await self.until("it is in progress", lambda: gate.entered)
        writer.close()
        await writer.wait_closed()
        lastcall.drain()
        await asyncio.sleep(0.05)
        self.assertFalse(task.done())  # B13: the handler completes
        gate.open.set()
        await self.drained(task)
        self.assertEqual(gate.done, ["a"])

    async def test_expendable(self):
        gate = Gate()
        task = await self.serve(site(gate))
        reader, _ = await self.dial(get("/expendable"))
        busy, _ = await self.dial(get("/a"))
        await self.heard("X_LASTCALL_BEGIN=GET /a")
        self.assertIn("X_LASTCALL_CLASS=expendable\nX_LASTCALL_BEGIN=GET /expendable", self.supervisor.heard)
        lastcall.drain()
        await asyncio.sleep(0.05)
        self.assertEqual(gate.cut, [])  # while critical work is in progress
        gate.entered.clear()
        self.assertFalse(task.done())
        gate.open.set()
        self.assertIn("200 OK", await self.rest(busy))
        await self.drained(task)

    async def test_expendable_is_cut(self):
        for grace in (0, 0.1):
            self.born({"NOTIFY_SOCKET": self.supervisor.path})
            self.supervisor.heard.clear()
            gate = Gate()
            task = await self.serve(site(gate), expendable_grace=grace)
            reader, _ = await self.dial(get("/expendable"))
            await self.heard("X_LASTCALL_BEGIN=GET /expendable")
            begin = asyncio.get_running_loop().time()
            lastcall.drain()
            await self.drained(task)
            self.assertGreaterEqual(asyncio.get_running_loop().time() - begin, grace)
            self.assertEqual(gate.cut, ["expendable"])
            self.assertEqual(await self.rest(reader), "")
            self.assertIn("X_LASTCALL_END=GET /expendable", self.supervisor.lines())

    async def test_short_requests_are_not_told(self):
        self.addCleanup(setattr, lastcall, "_BATCH", lastcall._BATCH)
        lastcall._BATCH = 1000
        task = await self.serve(site(Gate()))
        for _ in range(20):
            reader, _ = await self.dial(get("/quick", "Connection: close\r\n"))
            self.assertIn("200 OK", await self.rest(reader))
        lastcall.drain()
        await self.drained(task)
        self.assertNotIn("X_LASTCALL_BEGIN=GET /quick", self.supervisor.lines())
        self.assertEqual(lastcall._process.entries, {})

    async def test_websocket(self):
        task = await self.serve(site(None))
        reader, _ = await self.dial(get(
            "/socket", "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGVzdA==\r\n"))
        await reader.readuntil(b"\r\n\r\n")
        await self.until("it is expendable", lambda: lastcall._process.in_progress(critical=False))
        lastcall.drain()
        await self.drained(task)
        await self.rest(reader)

    async def test_stalled_uploader(self):
        gate = Gate()
        task = await self.serve(site(gate), stall_timeout=1)
        post = "POST /%s HTTP/1.1\r\nHost: test\r\nContent-Length: 24\r\n\r\n"
        stalled, _ = await self.dial(post % "stalled" + "half")
        slow, writer = await self.dial(post % "quick")
        await self.heard("X_LASTCALL_BEGIN=POST /stalled")
        lastcall.drain()
        for _ in range(24):
            await asyncio.sleep(0.06)  # in all more than stall_timeout
            writer.write(b"x")
        text = await self.rest(slow)
        self.assertIn("200 OK", text)
        self.assertNotIn("200 OK", await self.rest(stalled))
        self.assertEqual(await self.ended(task), ["POST /stalled"])
        self.assertEqual(gate.entered, ["quick"])

    async def test_stalled_reader(self):
        async def act(handler, name):
            writing.set()
            handler.write(b"x" * (64 << 20))

        writing = asyncio.Event()
        task = await self.serve(site(act), stall_timeout=0.3, drain_timeout=1000)
        await self.dial(get("/flood"))
        await writing.wait()
        lastcall.drain()
        self.assertEqual(await self.ended(task), ["GET /flood"])

    async def test_handler_that_thinks_is_not_stalled(self):
        gate = Gate()
        task = await self.serve(site(gate), stall_timeout=0.02)
        reader, _ = await self.dial(get("/a"))
        await self.until("it is in progress", lambda: gate.entered)
        lastcall.drain()
        await asyncio.sleep(0.3)
        gate.open.set()
        self.assertIn("200 OK", await self.rest(reader))
        await self.drained(task)

    async def test_callable(self):
        """A server without an Application."""
        def answer(request):
            request.connection.write_headers(
                tornado.httputil.ResponseStartLine("HTTP/1.1", 200, "OK"), tornado.httputil.HTTPHeaders({"Content-Length": "3"}), b"hi\n")
            request.connection.finish()

        task = await self.serve(tornado.httpserver.HTTPServer(answer))
        reader, _ = await self.dial(get("/"))
        await reader.readuntil(b"hi\n")
        lastcall.drain()
        self.assertEqual(await self.rest(reader), "")
        await self.drained(task)


class StreamsTest(Case):
    async def lines(self, reader, writer):
        """A protocol of lines: a connection between two holds nobody."""
        lastcall.expendable()
        while True:
            line = await reader.readline()
            if not line:
                return
            async with lastcall.operation("line " + line.decode().strip()):
                await self.gate.wait()
                writer.write(b"did " + line)
                await writer.drain()

    async def test_lines(self):
        self.gate = asyncio.Event()
        task = await self.serve(self.lines)
        idle, _ = await self.dial()
        busy, _ = await self.dial("a\nb\n")
        await self.heard("X_LASTCALL_BEGIN=line a")
        lastcall.drain()
        await self.until("it refuses", self.refused)
        self.assertFalse(task.done())
        self.gate.set()
        self.assertEqual(await self.rest(busy), "did a\n")  # b has come too late
        await self.rest(idle)
        self.assertEqual(await self.ended(task), [])

    async def test_connection_is_an_operation(self):
        async def talk(reader, writer):
            await lastcall.draining.wait()
            writers.append(writer)
            writer.write(b"x" * (8 << 20) + b"goodbye\n")

        writers = []
        task = await self.serve(talk)
        reader, _ = await self.dial()
        await self.until("it is in progress", lambda: lastcall._process.entries)
        lastcall.drain()
        rest = asyncio.ensure_future(self.rest(reader))
        self.assertEqual(await self.ended(task), [])
        self.assertEqual(writers[0].transport.get_write_buffer_size(), 0)  # all has gone before serve returns
        self.assertTrue((await rest).endswith("goodbye\n"))

    async def test_failing_handler(self):
        """What fails is logged, unless it is that the client has gone."""
        async def talk(reader, writer):
            line = await reader.readline()
            if line == b"file\n":
                open("/no/such/file")
            writer.transport.abort()
            raise BrokenPipeError("gone")

        logging.disable(logging.NOTSET)
        task = await self.serve(talk)
        with self.assertLogs("lastcall", "ERROR") as logs:
            for line in ("gone\n", "file\n"):
                reader, _ = await self.dial(line)
                await self.rest(reader)
            await self.until("it is logged", lambda: logs.records)
            lastcall.drain()
            self.assertEqual(await self.ended(task), [])
        self.assertEqual([str(r.exc_info[1])[:9] for r in logs.records], ["[Errno 2]"])

    async def test_cut(self):
        async def talk(reader, writer):
            await asyncio.sleep(1000)

        task = await self.serve(talk, drain_timeout=0.05)
        reader, _ = await self.dial()
        await self.until("it is in progress", lambda: lastcall._process.entries)
        lastcall.drain()
        cut = await self.ended(task)
        self.assertEqual((len(cut), cut[0][:26]), (1, "connection from 127.0.0.1:"))
        await self.rest(reader)

    async def test_two_servers_by_name(self):
        async def talk(reader, writer):
            writer.write(b"hello\n")

        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            other = s.getsockname()[1]
        task = asyncio.ensure_future(lastcall.serve(
            {"a": talk, "b": site(Gate())}, {"a": "127.0.0.1:%d" % other, "b": "127.0.0.1:0"}))
        await self.heard("READY=1")
        self.port = other
        reader, _ = await self.dial()
        self.assertEqual(await self.rest(reader), "hello\n")
        lastcall.drain()
        self.assertEqual(await self.ended(task), [])


INHERIT = """
import os, subprocess, sys
sys.path.insert(0, %r)
import lastcall
kept = []
def names(which):
    try:
        found = lastcall.sockets(which)
        kept.extend(found)
        return [s.getsockname()[1] for s in found]
    except LookupError as e:
        return str(e)
print([names(which) for which in (None, "no", "web", "web", "admin")])
print([k for k in os.environ if k.startswith("LISTEN_")], os.get_inheritable(3))
""" % os.path.dirname(os.path.abspath(lastcall.__file__))


class InheritTest(unittest.TestCase):
    def inherit(self, names, pid):
        socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        self.addCleanup(lambda: [s.close() for s in socks])

        def place():
            high = [os.dup(s.fileno()) for s in socks]
            for i, fd in enumerate(os.dup2(fd, 100 + i) for i, fd in enumerate(high)):
                os.dup2(fd, 3 + i)

        out = subprocess.run(
            ["sh", "-c", "LISTEN_PID=%s exec %s -c \"$0\"" % (pid, sys.executable), INHERIT],
            env=dict(os.environ, LISTEN_FDS="3", LISTEN_FDNAMES=names), preexec_fn=place, close_fds=False,
            stdout=subprocess.PIPE, check=True, timeout=LIMIT, universal_newlines=True).stdout
        return out.split("\n"), [s.getsockname()[1] for s in socks]

    def test_by_name(self):
        out, (a, b, c) = self.inherit("web:admin:web", "$$")
        self.assertEqual(eval(out[0]), [
            "take inherited sockets: say which of admin, web",
            "take inherited sockets: there is no no, but admin, web",
            [a, c], [], [b]])
        self.assertEqual(out[1], "[] False")

    def test_only_name(self):
        out, ports = self.inherit("web:web:web", "$$")
        self.assertEqual(eval(out[0])[0], ports)

    def test_for_another_process(self):
        out, _ = self.inherit("web:web:web", "1")
        self.assertEqual(eval(out[0]), [[], [], [], [], []])


if __name__ == "__main__":
    unittest.main()
