"""The sample servers behind the gateway: a crowd that chats, and the server of utils/README.md."""

import asyncio
import base64
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from conftest import DEADLINE, PATIENT, RELEASE, ROOT, connect as connect_sync, wait_until

# Clients at a time in the chat: as many as both the gateway and `-m 200` let in.
CLIENTS = 200

# What the speaker says: more than fits into the queue of a client that never reads, and into
# the sockets before it. Lengths around those of packets, which are 32 KiB.
LENGTHS = [30_000, 32 * 1024, 32 * 1024 - 1, 5, 64 * 1024, 100_000, 10_000, 33_000]
MESSAGES = [f"{number:04} ".ljust(LENGTHS[number % len(LENGTHS)], "x").encode() for number in range(64)]

# Messages in flight: who reads at all is never a queue behind.
AHEAD = len(LENGTHS)


def masked(payload):
    """A text frame of a client (RFC 6455, section 5.2), short."""
    key = os.urandom(4)
    data = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    return struct.pack("!BB", 0x81, 0x80 | len(payload)) + key + data


def deaf_client(site):
    """A socket that joins the chat as `deaf` and then reads no more."""
    client = socket.socket()
    # Small segments and a small window, or the kernel would read megabytes in its place.
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(DEADLINE)
    client.connect((site.host, site.port))
    key = base64.b64encode(os.urandom(16)).decode()
    client.sendall((
        f"GET /chat HTTP/1.1\r\nHost: {site.host}:{site.port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode())
    client.sendall(masked(b"WSHello deaf"))
    answer = b""
    while not answer.endswith(b"WSWelcome deaf"):
        part = client.recv(4096)
        assert part, answer
        answer += part
    return client


async def received(client):
    """The next message, as bytes."""
    data = await asyncio.wait_for(client.recv(), DEADLINE)
    return data.encode() if isinstance(data, str) else data


async def named(site, name):
    """A client that has joined the chat."""
    client = await connect(site.url("chat"), max_size=None, compression=None, **PATIENT)
    await client.send(f"WSHello {name}")
    assert await received(client) == f"WSWelcome {name}".encode()
    return client


async def hear(client, whole):
    """Hears all that the speaker says, and asks for more when it has heard enough."""
    for start in range(0, len(MESSAGES), AHEAD):
        expected = MESSAGES[start:start + AHEAD]
        if whole:
            assert [await received(client) for _ in expected] == expected
        else:
            heard = b""
            while len(heard) < len(b"".join(expected)):
                heard += await received(client)
            assert heard == b"".join(expected)
        await client.send("WSPrivate speaker next")


async def speak(client, listeners):
    """Says all messages, never more than `AHEAD` before all listeners have heard them."""
    for start in range(0, len(MESSAGES), AHEAD):
        for message in MESSAGES[start:start + AHEAD]:
            await client.send(message.decode())
        words = b""
        while len(words) < len(b"next") * listeners:
            words += await received(client)
        assert words == b"next" * listeners


async def crowd(site, whole):
    """One speaks, one is deaf, all others hear everything, in order."""
    speaker = await named(site, "speaker")
    hearers = [await named(site, f"hearer{number}") for number in range(CLIENTS - 2)]
    try:
        await asyncio.gather(
            speak(speaker, len(hearers)), *(hear(client, whole) for client in hearers))
    finally:
        for client in [speaker, *hearers]:
            client.transport.abort()


def test_of_200_chat_clients_one_that_never_reads_disturbs_nobody(site, way):
    options = ["-w", "-m", str(CLIENTS)]
    site.serve(way, "chat", *options, program="websocket_chat")
    with deaf_client(site):
        asyncio.run(crowd(site, whole=way == "packets"))
        log = site.directory / "chat.log"
        dropped = lambda: re.findall(r".*was dropped.*\n", log.read_text())
        wait_until("the deaf client to be dropped", dropped)
    (line,) = dropped()
    assert "(deaf)" in line and "does not read" in line


def test_a_request_of_a_mebibyte_is_answered_with_as_much(site, tmp_path, way):
    options = ["-L", RELEASE / "libjsonsql.so", "-C", tmp_path / "data.db"]
    site.serve(way, "sql", *options, program="websocket_jsonrpc")
    text = "€ " * 260_000
    params = {"query": "SELECT ? AS text", "values": [text]}
    request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "exec", "params": params}, ensure_ascii=False)
    assert len(request.encode()) > 1_000_000
    answer = {"jsonrpc": "2.0", "id": 1, "result": [{"text": text}]}
    length = len(json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode())
    with connect_sync(site.url("sql"), max_size=None) as client:
        client.send(request)
        got = b""
        while len(got) < length:
            part = client.recv(timeout=DEADLINE)
            got += part.encode() if isinstance(part, str) else part
            assert way != "packets" or len(got) == length, "one message is one answer"
    assert json.loads(got) == answer


def test_a_process_for_each_client_serves_every_way(site, tmp_path, way):
    options = ["-F", "-L", RELEASE / "libjsonsql.so", "-C", tmp_path / "data.db"]
    site.serve(way, "sql", *options, program="websocket_jsonrpc")
    request = '{"jsonrpc":"2.0","id":%d,"method":"exec","params":{"query":"SELECT %d"}}'
    for number in range(3):
        with connect_sync(site.url("sql")) as one, connect_sync(site.url("sql")) as other:
            for client, value in ((other, number), (one, number + 1), (other, number + 2)):
                client.send(request % (value, value))
                answer = client.recv(timeout=DEADLINE)
                assert json.loads(answer)["result"] == [{str(value): value}]
        assert (one.close_code, other.close_code) == (1000, 1000)


def written(directory):
    """The programs of utils/README.md, put into `directory`; and the setting they need."""
    text = (ROOT / "utils" / "README.md").read_text()
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL):
        (directory / name).write_text(code)
    (setting,) = re.findall(r'^    (framing = "\w+";)', text, re.MULTILINE)
    return setting


def run(site, program):
    """Starts a program of utils/README.md as the service that is named like it."""
    path = site.run / program.stem
    process = subprocess.Popen([sys.executable, program, path])
    site.processes.append(process)
    wait_until("the server to let others connect", lambda: is_served(path))
    return process


def test_the_commands_of_the_readme_bring_its_server_into_a_browser(site, tmp_path):
    written(tmp_path)
    text = (ROOT / "utils" / "README.md").read_text()
    (commands,) = re.findall(r"^To try it.*\n\n((?:    .*\n)+)", text, re.MULTILINE)
    script = commands.replace("-l 8080", f"-l {site.host}:{site.port}")
    path = f"{RELEASE}:{os.environ['PATH']}"
    shell = subprocess.Popen(["bash", "-c", script], cwd=tmp_path, env=os.environ | {"PATH": path},
                             stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until("the socket", lambda: is_served(tmp_path / "run" / "shout"))
        wait_until("the gateway", lambda: shell.poll() is not None or accepts((site.host, site.port)))
        with connect_sync(site.url("shout")) as client:
            client.send("hello")
            assert client.recv(timeout=DEADLINE) == "HELLO"
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
        shell.wait(DEADLINE)


def accepts(address):
    """Whether somebody listens at a TCP address."""
    try:
        socket.create_connection(address, DEADLINE).close()
    except OSError:
        return False
    return True


def is_served(path):
    """Whether a server listens at this path, for everybody."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    except OSError:
        return False
    return path.stat().st_mode & 0o777 == 0o666


def test_nobody_works_for_a_client_that_has_left(site, tmp_path, way):
    options = ["-m", "1", "-L", RELEASE / "libjsonsql.so", "-C", tmp_path / "data.db"]
    site.serve(way, "sql", *options, program="websocket_jsonrpc")
    request = '{"jsonrpc":"2.0","id":1,"method":"exec","params":{"query":"%s"}}'
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
    leaving = connect_sync(site.url("sql"), legacy=True)
    # Two seconds each, if they were all worked for.
    for _ in range(100):
        leaving.send(request % endless)
    leaving.socket.close()

    def is_served():
        try:
            with connect_sync(site.url("sql")) as client:
                client.send(request % "SELECT 7 AS seven")
                return json.loads(client.recv(timeout=DEADLINE))["result"] == [{"seven": 7}]
        except (ConnectionClosed, InvalidStatus):
            return False

    wait_until("the slot of the client that has left", is_served)


def test_the_server_that_the_manual_shows_works_as_it_says(site, tmp_path):
    setting = written(tmp_path)
    run(site, tmp_path / "shout.py").kill()
    site.processes.pop().wait()
    # The socket is still there: a second start replaces it, a third finds it in use.
    run(site, tmp_path / "shout.py")
    third = subprocess.run([sys.executable, tmp_path / "shout.py", site.run / "shout"],
                           capture_output=True, text=True, timeout=DEADLINE)
    assert (third.returncode, "another server listens there" in third.stderr) == (1, True)
    site.start(websocket=setting)
    with connect_sync(site.url("shout")) as one, connect_sync(site.url("shout")) as other:
        one.send("hello")
        other.send("grüße 🐒")
        assert one.recv(timeout=DEADLINE) == "HELLO"
        # Bytes, so only ASCII is upper case then.
        assert other.recv(timeout=DEADLINE) == "GRüßE 🐒"


def test_the_server_that_the_manual_shows_is_told_who_its_client_is(site, tmp_path):
    setting = written(tmp_path)
    run(site, tmp_path / "who.py")
    site.start(websocket=f'{setting} proxy = "v2";')
    origin = f"http://{site.host}:{site.port}"
    cookie = {"Cookie": "theme=dark; lang=en"}
    with connect_sync(site.url("who?room=7"), origin=origin, additional_headers=cookie) as client:
        told = json.loads(client.recv(timeout=DEADLINE))
    assert (told["query"], told["cookies"]) == ("room=7", "theme=dark; lang=en")
    assert told["id"].isdigit()
    assert told["address"].startswith("127.")
    assert (told["service"], told["origin"]) == ("who", origin)


def test_the_server_that_the_manual_shows_reads_each_field(tmp_path):
    written(tmp_path)
    fields = {0x02: "router.lan", 0xE0: "who", 0xE1: "http://router.lan", 0xE2: "CN=ann", 0xE3: "ann",
              0xE4: "a=1", 0xE5: "b=2; c=3", 0xE6: "42", 0xEE: "of a later gateway"}
    rest = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + bytes(20)
    rest += b"".join(struct.pack("!BH", kind, len(value)) + value.encode() for kind, value in fields.items())
    header = b"\r\n\r\n\0\r\nQUIT\n\x21\x21" + struct.pack("!H", len(rest)) + rest
    script = "import sys, json, who; print(json.dumps(who.client_info(sys.stdin.buffer)), sys.stdin.read())"
    done = subprocess.run([sys.executable, "-c", script], input=header + b"the client's", cwd=tmp_path,
                          capture_output=True, timeout=DEADLINE, check=True)
    told, after = done.stdout.decode().split("} ", 1)
    assert json.loads(told + "}") == {
        "address": "2001:db8::7", "server name": "router.lan", "service": "who",
        "origin": "http://router.lan", "certificate": "CN=ann", "user": "ann", "query": "a=1",
        "cookies": "b=2; c=3", "id": "42"}
    assert after.strip() == "the client's"

@pytest.mark.parametrize("program", ["websocket_echo", "websocket_chat", "websocket_jsonrpc"])
def test_one_client_too_many_is_told_to_try_again_later(site, way, program):
    options = ["-L", RELEASE / "libauthrpc.so", "-C", site.directory / "users"]
    options = options if program == "websocket_jsonrpc" else []
    site.serve(way, "full", "-m", "1", *options, program=program)
    with connect_sync(site.url("full")) as first:
        assert first.ping().wait(DEADLINE)
        with connect_sync(site.url("full")) as second:
            with pytest.raises(ConnectionClosed):
                second.recv(timeout=DEADLINE)
            assert second.close_code == 1013
