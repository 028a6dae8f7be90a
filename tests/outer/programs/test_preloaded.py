"""Servers that others wrote, unmodified before libwebsocket.so, behind a gateway in direct mode.

Each speaks its own protocol, whose bytes travel in WebSocket messages.
"""

import contextlib
import os
import pathlib
import pwd
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from conftest import DEADLINE, LIBRARY, ROOT, connect, wait_until

# What these tests need of Debian (tests/setup has the list of all).
DEBIAN_PACKAGES = ["gunicorn", "mosquitto", "nginx-light", "nodejs", "openjdk-17-jdk-headless",
                   "postgresql", "redis-server"]

HERE = pathlib.Path(__file__).parent / "servers"
INTERPOSED = ROOT / "utils" / "libwebsocket" / "tests" / "servers"

# Bytes that are no pattern a mistake could repeat.
NOISE = random.Random(7).randbytes(300_000)


def program(name, *places):
    """A program's path; the test is skipped where there is none."""
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", *places]))
    if not found:
        pytest.skip(f"no {name}: make check-programs installs it")
    return found


class Stream:
    """A client of a server's own protocol, over WebSocket."""

    def __init__(self, client):
        self.client = client
        self.buffer = b""

    def send(self, data):
        """Sends these bytes as one message."""
        self.client.send(data)

    def _more(self):
        message = self.client.recv(timeout=DEADLINE)
        self.buffer += message.encode() if isinstance(message, str) else message

    def read(self, count):
        """The next `count` bytes."""
        while len(self.buffer) < count:
            self._more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def until(self, end):
        """All up to these bytes, and them."""
        while end not in self.buffer:
            self._more()
        return self.read(self.buffer.index(end) + len(end))


@contextlib.contextmanager
def stream(site, name="service", **options):
    """A WebSocket client of the service."""
    with connect(site.url(name), max_size=None, compression=None, **options) as client:
        yield Stream(client)


def preloaded(site, command, name="service", user=None, **environment):
    """Starts a server before the library, and waits until it listens on the socket `name`."""
    assert LIBRARY.exists(), f"no {LIBRARY}: build it as tests/check-programs does"
    library = site.run / "libwebsocket.so"
    shutil.copy(LIBRARY, library)
    log = site.directory / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=site.run, user=user, group=user and pwd.getpwnam(user).pw_gid,
            extra_groups=[] if user else None, stdin=subprocess.DEVNULL, stdout=output,
            stderr=output, env={**os.environ, **environment, "LD_PRELOAD": str(library)})
    site.processes.append(process)

    def listens():
        with contextlib.suppress(OSError), plain(site, name):
            return True
        return process.poll() is not None

    wait_until(f"{command[0]} to listen", listens)
    assert process.poll() is None, f"{command[0]}: {log.read_text()}"
    site.start(websocket='options = "direct";')
    return log


def plain(site, name="service"):
    """A UNIX client that connects by itself."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(DEADLINE)
    client.connect(str(site.run / name))
    return client


@pytest.mark.parametrize("threads", [1, 4])
def test_redis(site, threads):
    preloaded(site, [program("redis-server"), "--port", "0", "--unixsocket", "service",
                     "--save", "", "--io-threads", str(threads), "--io-threads-do-reads", "yes"])
    with stream(site) as one, stream(site) as two, plain(site) as local:
        one.send(b"PING\r\n")
        assert one.until(b"\r\n") == b"+PONG\r\n"
        value = NOISE
        one.send(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$%d\r\n%s\r\n" % (len(value), value))
        assert one.until(b"\r\n") == b"+OK\r\n"
        local.sendall(b"STRLEN key\r\n")
        assert local.recv(100) == b":%d\r\n" % len(value)
        two.send(b"GET key\r\n" * 3)
        for _ in range(3):
            assert two.until(b"\r\n") == b"$%d\r\n" % len(value)
            assert two.read(len(value) + 2) == value + b"\r\n"
        two.send(b"SUBSCRIBE news\r\n")
        two.until(b":1\r\n")
        one.send(b"PUBLISH news hello\r\n")
        assert two.until(b"hello\r\n").endswith(b"news\r\n$5\r\nhello\r\n")
        local.sendall(b"CLIENT LIST\r\n")
        assert local.recv(10_000).count(b" addr=") == 3
        one.send(b"QUIT\r\n")
        one.until(b"+OK\r\n")


def mqtt(kind, body):
    """An MQTT packet of less than 128 bytes."""
    return bytes([kind, len(body)]) + body


def mqtt_string(text):
    return struct.pack(">H", len(text)) + text.encode()


def test_mosquitto(site):
    configuration = site.directory / "mosquitto.conf"
    configuration.write_text("allow_anonymous true\nlistener 0 service\nuser root\n")
    preloaded(site, [program("mosquitto"), "-c", configuration])
    hello = mqtt_string("MQTT") + b"\x04\x02\x00\x3c"
    with stream(site, subprotocols=["mqtt"]) as one, stream(site, subprotocols=["mqtt"]) as two:
        for number, client in enumerate((one, two)):
            client.send(mqtt(0x10, hello + mqtt_string(f"client{number}")))
            assert client.read(4) == b"\x20\x02\x00\x00"
        one.send(mqtt(0x82, b"\0\1" + mqtt_string("a/b") + b"\0"))
        assert one.read(5) == b"\x90\x03\0\1\0"
        # Three packets in one message, and one in two.
        packet = mqtt(0x30, mqtt_string("a/b") + b"news")
        two.send(packet * 3)
        two.send(packet[:4])
        two.send(packet[4:])
        assert one.read(4 * len(packet)) == packet * 4
        one.send(b"\xc0\0")
        assert one.read(2) == b"\xd0\0"


@contextlib.contextmanager
def database(site):
    """The command of a postgres with an empty database, its directory, and its user: it does not
    run as root."""
    places = sorted(str(path) for path in pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    initdb, server = program("initdb", *places), program("postgres", *places)
    user = "postgres" if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="pg-") as directory:
        if user:
            os.chmod(directory, 0o755)
            shutil.chown(directory, user)
        data = pathlib.Path(directory) / "data"
        subprocess.run([initdb, "-D", data, "-U", "tester", "-A", "trust", "--no-sync"], user=user,
                       extra_groups=[] if user else None, cwd=directory, check=True,
                       stdout=subprocess.DEVNULL)
        yield [server, "-D", data, "-k", directory, "-h", "", "-c", "fsync=off"], directory, user


@pytest.fixture
def postgres(site):
    """A site whose server is postgres."""
    with database(site) as (command, directory, user):
        site.run = pathlib.Path(directory)
        preloaded(site, command, name=".s.PGSQL.5432", user=user)
        yield site
        # It ends before its directory does.
        site.stop()


class Starting(Exception):
    """Postgres listens, and is not ready yet."""


def greet(client):
    """Logs in."""
    hello = struct.pack(">I", 196608) + b"user\0tester\0database\0postgres\0\0"
    client.send(struct.pack(">I", len(hello) + 4) + hello)
    while (kind := client.read(1)) != b"Z":
        body = client.read(struct.unpack(">I", client.read(4))[0] - 4)
        # SQLSTATE cannot_connect_now.
        if kind == b"E" and b"C57P03\0" in body:
            raise Starting
        assert kind != b"E", body
    client.read(5)


def takes_logins(site, name):
    """Whether postgres lets a client of this service log in."""
    with contextlib.suppress(InvalidStatus, ConnectionClosed, Starting), stream(site, name) as client:
        greet(client)
        return True
    return False


def query(client, text):
    """The rows of a simple query, each of one column, and the end of the answer."""
    client.send(b"Q" + struct.pack(">I", len(text) + 5) + text.encode() + b"\0")
    rows = []
    while True:
        kind = client.read(1)
        body = client.read(struct.unpack(">I", client.read(4))[0] - 4)
        assert kind != b"E", body
        if kind == b"D":
            rows.append(body[6:])
        if kind == b"Z":
            return rows


def test_postgres(postgres):
    wait_until("postgres to serve", lambda: takes_logins(postgres, ".s.PGSQL.5432"))
    with stream(postgres, ".s.PGSQL.5432") as one, stream(postgres, ".s.PGSQL.5432") as two:
        for client in (one, two):
            greet(client)
        assert query(one, "select inet_client_addr() is null") == [b"t"]
        query(one, "create table t (i int)")
        query(one, "insert into t select generate_series(1, 1000)")
        assert query(two, "select sum(i) from t") == [b"500500"]
        assert query(two, "select repeat('x', 300000)") == [b"x" * 300_000]
        query(one, "listen news")
        query(two, "notify news, 'hello'")
        assert b"news\0hello\0" in one.until(b"hello\0")
        one.send(b"X\0\0\0\4")


def http(client, request):
    """The body of the answer to a request."""
    client.send(request)
    head = client.until(b"\r\n\r\n").decode()
    assert head.startswith("HTTP/1.1 200 "), head
    lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
    return client.read(int(lines["content-length"]))


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


@pytest.mark.parametrize("sendfile", ["on", "off"])
def test_nginx(site, sendfile):
    (site.run / "noise").write_bytes(NOISE * 10)
    (site.run / "small").write_bytes(b"small")
    configuration = site.directory / "nginx.conf"
    configuration.write_text(f"""
        daemon off; worker_processes 2; error_log stderr; pid {site.directory}/pid;
        events {{ worker_connections 64; }}
        http {{
            access_log off; sendfile {sendfile}; tcp_nopush on; root {site.run};
            server {{ listen unix:{site.run}/service; }}
        }}
    """)
    # A worker of another user could not read the files.
    who = pwd.getpwuid(os.getuid()).pw_name
    preloaded(site, [program("nginx"), "-e", "stderr", "-c", configuration, "-g", f"user {who};"])
    with stream(site) as one, stream(site) as two:
        for client in (one, two, one):
            assert http(client, get("/small")) == b"small"
            assert http(client, get("/noise")) == NOISE * 10
        two.send(get("/small") * 3)
        for _ in range(3):
            assert two.until(b"small")


@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_gunicorn(site, worker):
    (site.run / "noise").write_bytes(NOISE * 10)
    preloaded(site, [program("gunicorn"), "-b", f"unix:{site.run}/service", "-k", worker, "-w", "2", "--threads",
                     "1" if worker == "sync" else "4", "--chdir", HERE, "--log-level", "warning",
                     "web:application"],
              WEB_FILE=str(site.run / "noise"), PYTHONDONTWRITEBYTECODE="1")
    post = f"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {len(NOISE)}\r\n\r\n".encode()
    for request, body in ((get("/"), b"Hello"), (get("/file"), NOISE * 10), (post + NOISE, NOISE)):
        with stream(site) as client:
            assert http(client, request) == body


def echoes(site):
    """What every echo server must do."""
    with stream(site) as one, stream(site) as two, plain(site) as local:
        one.send(b"Hello")
        assert one.read(5) == b"Hello"
        two.send(NOISE)
        local.sendall(b"by itself")
        assert two.read(len(NOISE)) == NOISE
        assert local.recv(100) == b"by itself"
        assert one.client.ping().wait(DEADLINE)
        one.client.close()
        assert one.client.close_code == 1000
        two.send(b"still there")
        assert two.read(11) == b"still there"


@pytest.mark.parametrize("mode", ["thread", "selector"])
def test_java(site, mode):
    log = preloaded(site, [program("java"), "-Xshare:auto", HERE / "Echo.java", "service", mode])
    echoes(site)
    # The client's addresses are those of a UNIX socket.
    assert "Exception" not in log.read_text()
    assert f"{site.run}/service" in log.read_text() or "service " in log.read_text()


@pytest.mark.parametrize("io_uring", ["0", "1"])
def test_node(site, io_uring):
    preloaded(site, [program("node"), INTERPOSED / "echo.js", "service"], UV_USE_IO_URING=io_uring)
    echoes(site)


def test_asyncio(site):
    preloaded(site, [sys.executable, INTERPOSED / "echo_asyncio.py", "service"])
    echoes(site)


@pytest.mark.parametrize("mode", ["thread", "fork"])
def test_socketserver(site, mode):
    preloaded(site, [sys.executable, INTERPOSED / "echo.py", "service", mode])
    echoes(site)
