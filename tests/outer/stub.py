"""A stand-in for the gateway where a test says what it answers.

It sends the pages with the strictest headers they must work under, lists services, and refuses
handshakes and plain requests with one status, as the gateway does.
"""

import contextlib
import threading

from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.sync.server import serve

from conftest import ROOT

PAGES = ROOT / "utils" / "htdocs"

TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

STRICT = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'self'; base-uri 'none'; "
                               "form-action 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}

# What each of these names is refused with, be it asked for by a handshake or not. A plain GET of
# a service whose server is gone gets 426, its handshake 503.
REFUSED = {"stopped": 426, "spoiled": 426, "denied": 403, "absent": 404, "busy": 503, "host": 421, "odd": 418}


def response(status, kind="text/plain", body=b"", headers=()):
    """An answer with a length, after which the connection ends."""
    fields = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"}
    return Response(status, "", Headers({**fields, **dict(headers)}), body)


def answer(listing):
    """What the stand-in answers before a handshake; None lets it go on."""
    def process(_, request):
        name = request.path.split("?")[0].removeprefix("/")
        if name == "-/services":
            return response(200, "application/json", listing.encode()) if listing else response(404)
        if name in REFUSED:
            return response(REFUSED[name])
        path = PAGES / (name or "console.html")
        if "Upgrade" not in request.headers:
            if not path.is_file():
                return response(404)
            return response(200, TYPES[path.suffix], path.read_bytes(), STRICT)
        return None
    return process


@contextlib.contextmanager
def stub(handler, listing=None):
    """The address of a stand-in that serves the console at `/` and each WebSocket by `handler`."""
    with serve(handler, "127.0.0.1", 0, process_request=answer(listing), compression=None,
               select_subprotocol=lambda _, offered: offered[-1] if offered else None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield "http://%s:%d/" % server.socket.getsockname()
        finally:
            server.shutdown()
            thread.join()


def echo(connection):
    """Sends back what comes."""
    for message in connection:
        connection.send(message)
