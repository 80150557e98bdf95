"""An ASGI application."""
import asyncio


async def app(scope, receive, send):
    body = b"ok\n"
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
        body = b"done\n"
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
