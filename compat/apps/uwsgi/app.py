"""A WSGI application."""
import time


def app(environ, start_response):
    body = b"ok\n"
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1)
        body = b"done\n"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
