"""A site with a login of each type, for the tests of logins.

Its page members.html and its service `members` are for ann, with the password "secret" that has a
colon and an umlaut in it; all else is for everybody.
"""

import base64
import contextlib
import dataclasses
import http.server
import json
import subprocess
import threading

from authority import Authority, section
from conftest import DEADLINE, RELEASE, connect

USER, PASSWORD = "ann", "se:crét"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

# The token that is ann's.
TOKEN = "a-token-that-is-long-enough"


@dataclasses.dataclass
class Ann:
    """What ann logs in with, whatever the type: headers of a request, files of a certificate."""

    headers: dict
    authority: Authority = None
    pair: tuple = ()

    def context(self, with_pair=True):
        """For a client with TLS; None without."""
        if self.authority is None:
            return None
        identity = dict(zip(("certfile", "keyfile"), self.pair)) if with_pair else {}
        return self.authority.context(**identity)

    def scheme(self, scheme):
        """`http` or `ws`, or the same with TLS."""
        return scheme + "s" if self.authority else scheme


# What needs a login.
PROTECT = 'protect = "/members.html,/members,/members/*";'


class Check(http.server.BaseHTTPRequestHandler):
    """A program of others that knows ann."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        known = self.headers.get("Authorization") == BASIC
        self.server.asked.append(dict(self.headers))
        self.send_response(200 if known else 401)
        if known:
            self.send_header("Remote-User", USER)
        else:
            self.send_header("WWW-Authenticate", 'Basic realm="elsewhere", charset="UTF-8"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def program(handler, host="127.0.0.1"):
    """A server that answers with this handler; `asked` has what it was asked."""
    server = http.server.ThreadingHTTPServer((host, 0), handler)
    server.daemon_threads = True
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def members(site):
    """Starts the service `members`, which says who its clients are."""
    site.program("told", [RELEASE / "websocket_chat", "-R", site.run, "-n", "told", "-w", "-P"])


def authrpc(site):
    """Starts the service `auth` with the users; the password of the first of them, admin."""
    config = f"{site.directory}/users.db;root=admin"
    site.backend("auth", "-P", "-L", RELEASE / "libauthrpc.so", "-C", config, program="websocket_jsonrpc")
    return site.first_password()


def start(site, auth, addr="127.0.0.1", more=""):
    """Starts the gateway with this login for the members, and with more settings of its server."""
    links = ", ".join(
        f'{{ origin = "{name}"; destination = "{site.run}/{socket}"; proxy = "v2"; }}'
        for name, socket in (("members", "told"), ("auth", "auth")))
    return site.start(addr=addr, server=f"auth = {{ {auth} {PROTECT} }}; {more}", websocket=f"links = ({links});")


@contextlib.contextmanager
def login(kind, site):
    """Starts everything with a login of this type; `site.ann` has what ann logs in with."""
    members(site)
    site.ann = Ann({"Authorization": BASIC})
    with contextlib.ExitStack() as stack:
        if kind == "Basic":
            users = site.directory / "users"
            users.write_text(f"{USER}:{hashed(PASSWORD)}:users\n")
            start(site, f'type = "Basic"; file = "{users}";')
        elif kind == "rpc":
            root = authrpc(site)
            start(site, f'type = "rpc"; address = "unix:{site.run}/auth";')
            add_user(site, root, USER, PASSWORD)
        elif kind == "Bearer":
            tokens = site.directory / "tokens"
            tokens.write_text(f"{TOKEN}:{USER}:users\n")
            site.ann = Ann({"Authorization": f"Bearer {TOKEN}"})
            start(site, f'type = "Bearer"; tokens = "{tokens}";')
        elif kind == "certificate":
            authority = Authority(site.directory / "ca")
            server = authority.issue("gateway", "IP:127.0.0.1")
            site.ann = Ann({}, authority, authority.issue(USER, f"DNS:{USER}"))
            site.bob = Ann({}, authority, authority.issue("bob", "DNS:bob"))
            asked = f'cachain = "{authority.root}"; clientauth = "optional";'
            start(site, f'type = "certificate"; subject = "CN={USER}";', more=section(server, more=asked))
        else:
            check = stack.enter_context(program(Check))
            start(site, f'type = "forward"; address = "127.0.0.1:{check.server_port}"; path = "/verify";')
        yield site


def hashed(password):
    """A password as the file of users has it."""
    command = ["openssl", "passwd", "-5", "-stdin"]
    return subprocess.run(command, input=password, capture_output=True, text=True, check=True).stdout.strip()


def add_user(site, root, name, password):
    """Adds a user as the page webauth.html does; admin signs in with the password `root`."""
    with calling(site) as call:
        call("auth", user="admin", passwd=root)
        call("adduser", user=name, passwd=password)


@contextlib.contextmanager
def calling(site):
    """Calls methods of authrpc over a WebSocket of its own."""
    with connect(site.url("auth"), origin=f"http://{site.host}:{site.port}") as client:
        def call(method, **params):
            client.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
            answer = json.loads(client.recv(timeout=DEADLINE))
            assert "result" in answer, answer
            return answer["result"]
        yield call


# Types of logins that ask for a user and a password, and all.
KINDS = ["Basic", "rpc", "forward"]
ALL_KINDS = [*KINDS, "Bearer", "certificate"]
