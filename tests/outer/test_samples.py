"""The sample servers behind the gateway: a crowd that chats, and the server of utils/README.md."""

import asyncio
import base64
import json
import os
import re
import socket
import struct
import subprocess
import sys

from websockets.asyncio.client import connect
from websockets.sync.client import connect as connect_sync

from conftest import DEADLINE, RELEASE, ROOT, wait_until

# Clients of the crowded room: as many as both the gateway and `-m 200` let in.
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
    client = await connect(site.url("chat"), max_size=None, compression=None, ping_interval=None)
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
        wait_until("the deaf client to be dropped", lambda: "was dropped" in log.read_text())
    (line,) = [line for line in log.read_text().splitlines() if "was dropped" in line]
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


def test_the_server_that_the_manual_shows_works_as_it_says(site, tmp_path):
    text = (ROOT / "utils" / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (setting,) = re.findall(r'^    (framing = "\w+";)', text, re.MULTILINE)
    program, path = tmp_path / "shout.py", site.run / "shout"
    program.write_text(code)
    site.processes.append(subprocess.Popen([sys.executable, program, path]))
    wait_until("the server to let others connect",
               lambda: path.exists() and path.stat().st_mode & 0o777 == 0o666)
    site.start(websocket=setting)
    with connect_sync(site.url("shout")) as one, connect_sync(site.url("shout")) as other:
        one.send("hello")
        other.send("grüße 🐒")
        assert one.recv(timeout=DEADLINE) == "HELLO"
        # Bytes, so only ASCII is upper case then.
        assert other.recv(timeout=DEADLINE) == "GRüßE 🐒"
