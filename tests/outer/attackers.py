"""Attackers that ask for all of a gateway's time, memory and slots, each kind bounded in number.

An attack is a round: it takes what it can, keeps it for a moment, and gives it back. `siege.py`
repeats the rounds beside normal clients. All stays on the loopback, where each kind of attacker
has an address of its own.
"""

import asyncio
import collections
import contextlib
import json
import socket
import time

from conftest import DEADLINE

# What an attacker meets when it is cut off.
CUT = (OSError, asyncio.IncompleteReadError)

# Clients of one address that the gateway may serve at a time (`maxperip`).
PER_ADDRESS = 20

# Bytes that an attacker leaves unfinished in a message.
UNFINISHED = 4 << 20

# Bytes of the file `big`, and for how long it is read at 1 KiB a second, in seconds: three times as
# long as one who takes nothing may stay.
BIG = 8 << 20
SLOW = 30

# A statement that would run for ever.
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"


def upgrade(name, fields=""):
    """The head of a request for a service, with these fields beside those it must have."""
    return (f"GET /{name} HTTP/1.1\r\nHost: x\r\n{fields}Upgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n").encode()


def frame(first, payload):
    """A client's frame with this first byte, masked with zeros (RFC 6455, section 5.2)."""
    length = len(payload)
    if length < 126:
        size = bytes([0x80 | length])
    elif length < 1 << 16:
        size = b"\xfe" + length.to_bytes(2, "big")
    else:
        size = b"\xff" + length.to_bytes(8, "big")
    return bytes([first]) + size + bytes(4) + payload


def call(method, **parameters):
    """A request of JSON-RPC."""
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})


def text(message):
    """A client's frame with a text."""
    return frame(0x81, message.encode())


FRAGMENT = frame(0x00, b"x" * (64 << 10))
CLOSE = frame(0x88, b"\x03\xe8")
BATCH = text("[" + ",".join([call("exec", query=ENDLESS)] * 1000) + "]")
VALUES = text(call("exec", query="SELECT length(?)", values=[[1] * 310_000]))
GUESS = text(call("auth", user="owner", passwd="a guess"))


@contextlib.asynccontextmanager
async def within_deadline(what):
    """Fails after the deadline; a TimeoutError would be an OSError, as one that is cut off has."""
    try:
        async with asyncio.timeout(DEADLINE):
            yield
    except TimeoutError:
        raise AssertionError(f"waited {DEADLINE} s for {what}") from None


async def status(reader):
    """The status of an answer, whose head is read."""
    head = await reader.readuntil(b"\r\n\r\n")
    return int(head.split()[1])


async def payload(reader):
    """The payload of a server's next frame."""
    length = (await reader.readexactly(2))[1]
    if length >= 126:
        length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
    return await reader.readexactly(length)


class Attackers:
    """All kinds of attackers of one gateway; `servers` are the addresses of its servers."""

    def __init__(self, servers, sockets):
        self.servers = servers
        # Directory of the backends' sockets.
        self.sockets = sockets
        self.counts = collections.Counter()
        # Longest times in seconds after which an attacker was ended.
        self.ended = collections.Counter()

    def rounds(self):
        """The attacks, each with the pause after a round, in seconds."""
        return [
            (self.ask_for_ever_and_leave, 2), (self.send_many_values, 3), (self.guess, 0.5),
            *((lambda name=name: self.leave_unfinished(name), 1)
              for name in ("line", "nul", "length")),
            (self.say_nothing_to_the_backend, 0.2), (self.answer_no_close, 0.5),
            (self.read_slowly, 0.5), (self.keep_the_page, 0.1), (self.go_on_after_close, 0.5),
            *((lambda name=name: self.wait_for_nobody(name), 0.2) for name in ("full", "away")),
            (self.come_in_crowds, 0.2), (self.send_no_head, 0.5), (self.claim_a_network, 0.2),
            (self.claim_through_an_unknown, 0.2),
        ]

    async def repeat(self, attack, pause):
        """Attacks until it is cancelled; to be cut off, or out, is what attackers expect."""
        while True:
            with contextlib.suppress(*CUT):
                await attack()
            await asyncio.sleep(pause)

    @contextlib.asynccontextmanager
    async def crowd(self, count, number, server="slots", network=66):
        """Connections of one address to a server, which end at once when all is done."""
        host, port = self.servers[server]
        clients = []
        try:
            for _ in range(count):
                source = (f"127.{network}.0.{number}", 0)
                clients.append(await asyncio.open_connection(host, port, local_addr=source))
            yield clients
        finally:
            for _, writer in clients:
                writer.transport.abort()

    async def open(self, client, name):
        """Opens a service; false if it is refused."""
        reader, writer = client
        writer.write(upgrade(name))
        return await status(reader) == 101

    async def ended_after(self, what, reader, start):
        """Waits for the end of a client that will not end by itself."""
        async with within_deadline(f"the end of a {what}"):
            with contextlib.suppress(*CUT):
                while await reader.read(1 << 16):
                    pass
        self.ended[what] = max(self.ended[what], time.monotonic() - start)

    # Time and memory of the programs behind the gateway.

    async def ask_for_ever_and_leave(self):
        """A batch of endless queries, and a Close that does not wait for the answers."""
        async with self.crowd(2, 1) as clients:
            for client in clients:
                if await self.open(client, "sql"):
                    client[1].write(BATCH + CLOSE)
                    self.counts["batches"] += 1
            start = time.monotonic()
            for reader, _ in clients:
                await self.ended_after("batch", reader, start)

    async def send_many_values(self):
        """Requests that are just not too long, whose values take many times their length."""
        async with self.crowd(PER_ADDRESS, 2) as clients:
            asking = [client for client in clients if await self.open(client, "sql")]
            # All have begun before the first one ends.
            middle = len(VALUES) // 2
            for part in (VALUES[:middle], VALUES[middle:]):
                for _, writer in asking:
                    writer.write(part)
                for _, writer in asking:
                    await writer.drain()
            for reader, _ in asking:
                answer = await payload(reader)
                self.counts["floods busy" if b'"busy"' in answer else "floods answered"] += 1

    async def guess(self):
        """Passwords for the owner, from one address on several connections."""
        async with self.crowd(8, 3) as clients:
            guessing = [client for client in clients if await self.open(client, "auth")]
            for _ in range(3):
                for _, writer in guessing:
                    writer.write(GUESS)
                for reader, _ in guessing:
                    assert b'"error"' in await payload(reader), "a guess lets in"
                    self.counts["guesses"] += 1

    async def say_nothing_to_the_backend(self):
        """Plain connections to a server with libwebsocket.so, which might be a hand-over's."""
        writers = []
        try:
            for _ in range(5):
                _, writer = await asyncio.open_unix_connection(self.sockets / "direct")
                writers.append(writer)
                self.counts["silent"] += 1
                await asyncio.sleep(0.2)
        finally:
            for writer in writers:
                writer.transport.abort()

    async def answer_no_close(self):
        """Clients that a server with libwebsocket.so closes, and that do not answer."""
        async with self.crowd(5, 4) as clients:
            for client in clients:
                if await self.open(client, "direct"):
                    client[1].write(text("quit"))
                    self.counts["unanswered"] += 1
            await asyncio.sleep(2)

    # Memory of the gateway.

    async def leave_unfinished(self, name):
        """Messages without an end, in both directions: the backend sends back what it gets."""
        async with self.crowd(5, 5, "memory") as clients:
            for client in clients:
                if await self.open(client, name):
                    client[1].write(frame(0x02, b""))
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(5):
                            await self.fill(*client)
            await asyncio.sleep(1)

    async def fill(self, reader, writer):
        """Sends a message that does not end, until it is too much for the gateway."""
        self.counts["unfinished"] += 1
        close = asyncio.create_task(payload(reader))
        try:
            for _ in range(UNFINISHED // len(FRAGMENT)):
                writer.write(FRAGMENT)
                await writer.drain()
                if close.done():
                    break
            await asyncio.wait([close], timeout=0.2)
            if close.done():
                code = int.from_bytes(close.result()[:2], "big")
                assert code == 1013, f"a message that is too much got Close {code}"
                self.counts["closed with 1013"] += 1
        finally:
            close.cancel()

    # Slots.

    async def read_slowly(self):
        """Readers of a file that take 1 KiB a second."""
        host, port = self.servers["slots"]
        with contextlib.ExitStack() as stack:
            readers = [stack.enter_context(socket.socket()) for _ in range(15)]
            for reader in readers:
                reader.setblocking(False)
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                reader.bind(("127.66.0.6", 0))
                await self.loop().sock_connect(reader, (host, port))
                await self.loop().sock_sendall(reader, b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
                self.counts["slow readers"] += 1
            for _ in range(SLOW):
                await asyncio.sleep(1)
                for reader in readers:
                    with contextlib.suppress(OSError):
                        reader.recv(1024)
            # Who is cut off by now finds no more than what the kernel holds.
            for reader in readers:
                async with within_deadline("the rest of a file"):
                    rest = await self.rest(reader)
                assert rest < BIG // 2, "a slow reader keeps its slot"
                self.counts["slow readers cut"] += 1

    async def rest(self, reader):
        """The bytes that are left to be read."""
        length = 0
        with contextlib.suppress(ConnectionError):
            while piece := await self.loop().sock_recv(reader, 1 << 16):
                length += len(piece)
        return length

    def loop(self):
        """The loop that all of this runs in."""
        return asyncio.get_running_loop()

    async def keep_the_page(self):
        """Clients that have their page and do not close, more than one address may have at a time.
        They come one after another: on a busy machine the last ones are still on their way out."""
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(PER_ADDRESS + 10):
                [(reader, writer)] = await stack.enter_async_context(self.crowd(1, 7))
                writer.write(b"GET /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert await status(reader) == 200, "a client that lingers takes a slot"
                self.counts["kept pages"] += 1
            await asyncio.sleep(0.5)

    async def go_on_after_close(self):
        """Clients that go on sending after Close 1000, to a backend that goes on reading."""
        async with self.crowd(3, 8) as clients:
            going = [client for client in clients if await self.open(client, "half")]
            start = time.monotonic()
            senders = [asyncio.create_task(self.go_on(writer)) for _, writer in going]
            try:
                for reader, _ in going:
                    await self.ended_after("sender after Close", reader, start)
            finally:
                for sender in senders:
                    sender.cancel()

    async def go_on(self, writer):
        """Sends for as long as it can."""
        while not writer.is_closing():
            writer.write(text("more"))
            self.counts["messages after Close"] += 1
            await asyncio.sleep(0.2)

    async def wait_for_nobody(self, name):
        """Clients of a backend that accepts nobody, or of one that is not there."""
        async with self.crowd(8, 9) as clients:
            for _, writer in clients:
                writer.write(upgrade(name))
                self.counts["waiting"] += 1
            await asyncio.sleep(1)

    async def come_in_crowds(self):
        """Three times the clients that one address may have, half of which say nothing."""
        async with self.crowd(60, 10) as clients:
            self.counts["crowded"] += len(clients)
            for _, writer in clients[::2]:
                writer.write(upgrade("echo"))
            for reader, _ in clients[::2]:
                with contextlib.suppress(*CUT):
                    self.counts["turned away"] += await status(reader) == 503
            await asyncio.sleep(0.3)

    # Proxies that are trusted.

    async def send_no_head(self):
        """Connections of a proxy that do not say whom they are for."""
        async with self.crowd(80, 1, "proxies", network=77) as clients:
            self.counts["without a head"] += len(clients)
            await asyncio.sleep(1)

    async def claim(self, header, fields):
        """Clients of a proxy that count as one address: no more of them are served at a time."""
        served = 0
        async with self.crowd(30, 1, "proxies", network=77) as clients:
            for number, (_, writer) in enumerate(clients):
                writer.write(header(number) + upgrade("echo", fields(number)))
            for reader, _ in clients:
                with contextlib.suppress(*CUT):
                    served += await status(reader) == 101
        self.counts["claims"] += len(clients)
        assert served <= PER_ADDRESS, f"{served} clients of one address are served"

    async def claim_a_network(self):
        """Clients that are all of one IPv6 network of 64 bits."""
        await self.claim(
            lambda number: f"PROXY TCP6 2001:db8:1:2::{number:x} 2001:db8::1 1 80\r\n".encode(),
            lambda number: "")

    async def claim_through_an_unknown(self):
        """Clients whose proxy does not know them, and that say themselves who they are."""
        await self.claim(
            lambda number: b"PROXY UNKNOWN\r\n",
            lambda number: f"X-Forwarded-For: 192.0.2.{number}\r\n")
