"""Mixed load with kills, reloads and cuts, and the proof that nothing is lost, stuck or kept.

Beside it runs a siege, whose attackers keep no normal client out.

`tests/soak SECONDS` runs it by itself; `test_soak.py` for some seconds in a check.
"""

import asyncio
import contextlib
import itertools
import os
import pathlib
import random
import signal
import socket
import ssl
import struct
import sys
import tempfile
import time

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from attackers import upgrade
from authority import Authority, section
from conftest import DEADLINE, LIBRARY, Site, free_address, wait_until
from followed import Followed, followed
from siege import Siege

# What the gateway may grow by under load, in KiB of its own memory: the median of the last quarter
# of the time above that of the first. What it holds when all is quiet says less: malloc(3) gives
# back the end of its heap only.
GROWTH = 512

# The same where less than a minute went before, in which 1500 clients may not leave 4 KiB each.
GROWTH_COLD = 6144
WARM = 60

# Seconds between pings: who does not answer is cut after twice that.
PING = 8

# Threads that copy at a time, so few that clients park and wake all the time.
THREADS = 8

# Seconds between two kills of a backend, and between two reloads.
KILL = 1.5
RELOAD = 2.5

# Connections that stay, with nothing but pings, through all of it.
IDLE = 10

# Options of a backend: clients it takes.
MANY = ["-m", "200"]

# Services whose backend lives: name, and whether each message keeps its bounds.
STEADY = [("echo", False), ("packets", True), ("length", True), ("direct", False)]

# Longest message, in bytes; the usual ones are shorter.
LONGEST = 200_000


class Soak:
    """A site under load; all clients in one thread, since OpenSSL's sessions want no two."""

    def __init__(self, site, directory, seed=1):
        self.site = site
        self.authority = Authority(directory / "ca")
        self.host, self.secure = free_address()
        self.seed = seed
        self.end = 0
        # Clients that read nothing and say nothing, if there are to be such.
        self.dangling = []
        self.staying = False
        # Its own memory in KiB, by the second.
        self.memory = []
        # Longest time, in seconds, in which this program did nothing.
        self.away = 0
        self.counts = dict.fromkeys(
            ["messages", "sent", "received", "clients", "cuts", "refused", "kills", "reloads"], 0)

    def count(self, **what):
        """Adds to what has been done."""
        for name, number in what.items():
            self.counts[name] += number

    def on(self):
        """Whether the load goes on."""
        return time.monotonic() < self.end

    # The gateway and its backends.

    def start(self):
        """Starts everything."""
        site = self.site
        # Each frame of a client that fails is told.
        site.options = ["-vv"]
        site.backend("handed", *MANY, preload=LIBRARY)
        for name, options in [("echo", []), ("packets", ["-q"]), ("mortal", [])]:
            site.backend(name, *MANY, *options)
        self.backend = site.processes[-1]
        pair = self.authority.issue("gateway", f"IP:{self.host}")
        self.trust = ssl.create_default_context(cafile=self.authority.root)
        plain = self.server(site.host, site.port, 'options = "direct";', "")
        # On TLS there is no direct mode: the same name is relayed.
        secure = self.server(self.host, self.secure, "", section(pair))
        # As the init scripts start it.
        site.launch(f"servers = ( {plain}, {secure} );", MALLOC_ARENA_MAX="1",
                    GLIBC_TUNABLES="glibc.pthread.stack_cache_size=0:"
                                   "glibc.malloc.tcache_count=0")

    def server(self, host, port, options, tls):
        """One server of the configuration; `options` are those of the service `direct`."""
        run = self.site.run
        return f"""{{
            addr = "{host}";
            port = {port};
            maxclients = 150;
            keepalivetimeout = 60;
            maxthreads = {THREADS};
            {tls}
            websocket = {{
                docroot = "{run}";
                ping = {PING};
                park = 1;
                links = (
                    {{ origin = "length"; type = "unix"; destination = "{run}/echo";
                       framing = "length"; }},
                    {{ origin = "direct"; type = "unix"; destination = "{run}/handed";
                       {options} }}
                );
            }};
        }}"""

    def figures(self):
        """Memory in KiB, descriptors and threads of the gateway."""
        process = pathlib.Path(f"/proc/{self.site.gateway.pid}")
        return (self.site.own(), len(os.listdir(process / "fd")), len(os.listdir(process / "task")))

    def alive(self):
        """The gateway must outlive everything."""
        status = self.site.gateway.poll()
        assert status is None, f"the gateway ended with status {status}"

    # Load.

    def connect(self, name, secure):
        """A client of a service."""
        self.count(clients=1)
        options = {"max_size": None, "open_timeout": DEADLINE, "close_timeout": DEADLINE,
                   "create_connection": Followed}
        if secure:
            return connect(f"wss://{self.host}:{self.secure}/{name}", ssl=self.trust, **options)
        return connect(self.site.url(name), **options)

    def message(self, chance):
        """A message, short most of the time, now and then a text."""
        length = chance.choice([0, 1, 125, 126, 1000, 4000, chance.randrange(LONGEST)])
        if chance.random() < 0.3:
            return "aé€🐒" * (length // 10 + 1)
        return chance.randbytes(length + 1)

    async def exchange(self, client, bounds, message):
        """One message there and back, not a byte of it missing."""
        sent = message.encode() if isinstance(message, str) else message
        got = b""
        async with asyncio.timeout(DEADLINE):
            await client.send(message)
            while len(got) < len(sent):
                piece = await client.recv()
                if bounds:
                    assert piece == message, "a message came back as another"
                got += piece.encode() if isinstance(piece, str) else piece
        assert got == sent, "bytes came back as others"
        self.count(messages=1, sent=len(sent), received=len(got))

    async def steady(self, chance):
        """Clients of backends that live: every byte comes back, and the end is a clean one."""
        while self.on():
            name, bounds = chance.choice(STEADY)
            code = chance.choice([1000, 1001, 3000])
            async with followed(self.site, self.connect(name, chance.random() < 0.3)) as client:
                for _ in range(chance.randrange(1, 30)):
                    await self.exchange(client, bounds, self.message(chance))
                    if not self.on():
                        break
                await client.close(code)
                reply = client.protocol.close_rcvd
                assert reply is not None and reply.code == code, f"Close {code} got {reply}"

    async def mortal(self, chance):
        """Clients of a backend that is killed: what comes back is the beginning of what went,
        and then the end is told."""
        while self.on():
            try:
                opening = self.connect("mortal", chance.random() < 0.3)
                async with followed(self.site, opening) as client:
                    await self.outlive(client, chance)
            except InvalidHandshake as refusal:
                status = refusal.response.status_code
                assert status in (404, 503), f"a backend that is gone is told as {status}"
                self.count(refused=1)
                await asyncio.sleep(0.05)

    async def outlive(self, client, chance):
        """One client of the backend that is killed."""
        sent = got = b""
        try:
            async with asyncio.timeout(DEADLINE):
                for _ in range(100):
                    message = chance.randbytes(chance.randrange(1, 20_000))
                    sent += message
                    await client.send(message)
                    while len(got) < len(sent):
                        got += await client.recv()
        except ConnectionClosed as closed:
            # Killed with bytes unread it resets, before any byte it has no room, else it ends.
            code = closed.rcvd.code if closed.rcvd else None
            assert code in (1000, 1011, 1013), f"a killed backend is told as {code}"
        assert sent.startswith(got), "bytes that nobody sent"

    async def cutter(self, chance):
        """Clients that end anyhow: within the handshake, a frame, a flood, or not at all."""
        while self.on():
            self.count(clients=1, cuts=1)
            name = chance.choice([name for name, _ in STEADY] + ["mortal"])
            if chance.random() < 0.3:
                reader, writer = await asyncio.open_connection(self.host, self.secure,
                                                               ssl=self.trust)
            else:
                reader, writer = await asyncio.open_connection(self.site.host, self.site.port)
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                if await self.cut(chance, name, reader, writer):
                    continue
                writer.close()
                await writer.wait_closed()
            await asyncio.sleep(0.01)

    async def cut(self, chance, name, reader, writer):
        """One end of many; true if the client stays."""
        head = upgrade(name)
        # Who is handed over is pinged by nobody, and known to the gateway until the backend ends.
        kind = chance.randrange(6 if self.staying and name != "direct" else 5)
        if kind == 0:
            writer.write(head[:chance.randrange(len(head))])
            await asyncio.sleep(chance.random() / 10)
            return False
        writer.write(head)
        async with asyncio.timeout(DEADLINE):
            await reader.readuntil(b"\r\n\r\n")
        if kind == 1:
            # Within a message too long for anybody.
            writer.write(b"\x82\xff\x00\x00\x00\x00\x00\x10\x00\x00abcd" + bytes(50_000))
        elif kind == 2:
            writer.write(b"\x82\xfe\x80\x00abcd" + bytes(0x8000))
        elif kind == 5:
            # Answers no ping, and stays: the gateway cuts it.
            self.dangling.append(writer)
            if len(self.dangling) > 20:
                self.dangling.pop(0).close()
            return True
        if kind in (1, 3):
            # A reset.
            linger = struct.pack("ii", 1, 0)
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        return False

    async def killer(self, chance):
        """Kills the mortal backend, and starts it again."""
        while self.on():
            await asyncio.sleep(chance.uniform(0.5, 1.5) * KILL)
            self.backend.kill()
            await asyncio.to_thread(self.backend.wait)
            self.count(kills=1)
            await asyncio.sleep(chance.random() / 2)
            self.site.processes.remove(self.backend)
            await asyncio.to_thread(self.site.backend, "mortal", *MANY)
            self.backend = self.site.processes[-1]

    async def reloader(self, chance):
        """Reloads the configuration; every other time it is a bad one, which changes nothing."""
        path = self.site.directory / "ouistiti.conf"
        good = path.read_text()
        for times in itertools.count():
            path.write_text(good if times % 2 else good + "broken =")
            self.site.gateway.send_signal(signal.SIGHUP)
            self.count(reloads=1)
            if not self.on() and times % 2:
                break
            await asyncio.sleep(chance.uniform(0.5, 1.5) * RELOAD)

    async def teller(self, tell):
        """Tells each minute what has been done."""
        start = time.monotonic()
        while (left := self.end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 60))
            status = self.site.gateway.poll()
            assert status is None, f"the gateway ended with status {status}"
            tell(f"{time.monotonic() - start:5.0f} s: {self.state()}")

    async def weigher(self):
        """Weighs the gateway each second."""
        while self.on():
            self.memory.append(self.site.own())
            await asyncio.sleep(1)

    async def heartbeat(self):
        """Measures for how long this program, and perhaps the machine, does nothing."""
        while self.on():
            start = time.monotonic()
            await asyncio.sleep(0.1)
            self.away = max(self.away, time.monotonic() - start - 0.1)

    # The whole.

    async def load(self, seconds, tell, *others):
        """Mixed load for so long, and others beside it; the first thing that is wrong ends it."""
        self.end = time.monotonic() + seconds
        kinds = [(self.steady, 6), (self.mortal, 2), (self.cutter, 2), (self.killer, 1),
                 (self.reloader, 1)]
        async with asyncio.TaskGroup() as group:
            group.create_task(self.teller(tell))
            group.create_task(self.heartbeat())
            group.create_task(self.weigher())
            for other in others:
                group.create_task(other)
            for work, count in kinds:
                for number in range(count):
                    chance = random.Random(f"{self.seed} {work.__name__} {number}")
                    group.create_task(work(chance))

    async def quiet(self, before):
        """What the gateway has once every client is gone, though some never said so. Clients that
        have been silent for long have given their threads up meanwhile."""
        def is_quiet():
            return all(now <= then for now, then in zip(self.figures()[1:], before[1:]))
        await asyncio.to_thread(
            wait_until, f"no more than {before[1:]} descriptors and threads", is_quiet)
        return self.figures()

    async def run(self, seconds, tell):
        """Some load to warm up, then the load, and the comparisons."""
        self.start()
        idle = [await self.connect("echo", secure) for secure in [False, True] * (IDLE // 2)]
        before = self.figures()
        tell(f"before: {describe(before)}")
        warmth = min(seconds / 3, 2 * WARM)
        await self.load(warmth, lambda line: None)
        base = await self.quiet(before)
        tell(f"quiet: {describe(base)}")
        self.staying = True
        self.memory.clear()
        async with Siege(self.site.directory / "siege") as siege:
            await self.load(seconds, tell, siege.run(seconds))
            for line in siege.lines():
                tell(line)
        end = await self.quiet(base)
        for client in idle:
            await self.exchange(client, False, b"still there")
            await client.close()
        for writer in self.dangling:
            writer.close()
        # A machine that is busy lets it be weighed a few times only.
        quarter = max(len(self.memory) // 4, 1)
        first, last = sorted(self.memory[:quarter]), sorted(self.memory[-quarter:])
        early, late = first[quarter // 2], last[quarter // 2]
        tell(f"quiet: {describe(end)}; {self.state()}")
        tell(f"median of the first quarter {early} KiB, of the last {late}")
        assert self.counts["sent"] == self.counts["received"]
        growth = GROWTH if warmth >= WARM else GROWTH_COLD
        assert late <= early + growth, "it grows under load"
        assert end[0] <= first[-1] + growth, "more is left than the load had needed"

    def state(self):
        """What has been done, in a line."""
        done = self.counts
        lost = done["sent"] - done["received"]
        return (f"{done['messages']} messages, {done['sent'] >> 20} MiB each way, {lost} lost, "
                f"{done['clients']} clients, {done['cuts']} cut, {done['refused']} refused, "
                f"{done['kills']} kills, {done['reloads']} reloads; {describe(self.figures())}; "
                f"away {self.away:.1f} s")


def describe(figures):
    """Figures in words."""
    return "{} KiB, {} descriptors, {} threads".format(*figures)


def main():
    """Runs for the seconds of the command line."""
    seconds = int(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="soak") as directory:
        site = Site(pathlib.Path(directory))
        try:
            soak = Soak(site, pathlib.Path(directory), seed=time.time())
            asyncio.run(soak.run(seconds, lambda line: print(f"soak: {line}", flush=True)))
        except BaseException:
            print("".join(site.log[-30:]), file=sys.stderr)
            raise
        finally:
            site.stop()
    print("soak: passed")


if __name__ == "__main__":
    main()
