"""Normal clients beside attackers: none is kept out, none loses a byte, memory has its bounds.

The siege has a gateway of its own, so that the memory attackers may take (`maxmemory`, the budget
of websocket_jsonrpc) hides no growth of the one under the mixed load of `soak.py`.
"""

import asyncio
import collections
import contextlib
import json
import os
import pathlib
import random
import socket
import sys
import time

from websockets.asyncio.client import connect

from attackers import BIG, CUT, PER_ADDRESS, Attackers, call, status, text, upgrade
from conftest import DEADLINE, LIBRARY, RELEASE, ROOT, Site, free_address, peak, wait_until

# Longest wait of a normal client for its first answer, in seconds from its connect on. Meant is
# less than one, and what it was is printed; the machine and this program have their part in it, so
# only what no slow machine explains is a failure.
MAX_WAIT = 30

# Pause of a normal client between two visits, in seconds.
PAUSE = 0.2

# What all clients of the server `memory` hold at most (`maxmemory`), and all of websocket_jsonrpc
# (its default), in KiB.
HELD = 8 << 10
BUDGET = 16 << 10

# What the two programs may take beside that, in KiB: threads and buffers of some 150 clients, and
# what malloc(3) keeps. Without the budgets they take twice as much.
SLACK = 32 << 10
SLACK_RPC = 16 << 10

# Descriptors of the gateway that has too few, and clients that come to it at once.
DESCRIPTORS = 64
MANY = 100


class Siege:
    """A gateway, its attackers and its normal clients; it runs within `async with`."""

    def __init__(self, directory):
        directory.mkdir()
        self.site = Site(directory)
        starved = directory / "starved"
        starved.mkdir()
        # A gateway with few descriptors.
        self.starved = Site(starved)
        self.starved.runner = ["prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"]
        servers = {"slots": (self.site.host, self.site.port), "memory": free_address(),
                   "proxies": free_address()}
        self.servers = servers
        self.attackers = Attackers(servers, self.site.run)
        self.end = 0
        # Waits in seconds, by kind of client.
        self.waits = collections.defaultdict(list)
        self.counts = collections.Counter()

    async def __aenter__(self):
        # In a thread, since it takes a while on a busy machine: clients of others answer pings.
        try:
            await asyncio.to_thread(self.start)
        except BaseException:
            await self.__aexit__(*sys.exc_info())
            raise
        return self

    async def __aexit__(self, failure, *_):
        if failure:
            print("".join(self.site.log[-30:]), file=sys.stderr)
        await asyncio.to_thread(self.stop)

    def stop(self):
        """Ends all that was started."""
        self.starved.stop()
        self.site.stop()

    # The gateways and their backends.

    def start(self):
        """Starts everything but the backends in this program."""
        site = self.site
        site.pages = site.directory / "www"
        site.pages.mkdir()
        (site.pages / "page").write_text("here")
        (site.pages / "big").write_bytes(bytes(BIG))
        self.rpc("auth", "authrpc", "users.db;root=owner", "-P")
        self.rpc("sql", "jsonsql", "data.db")
        self.sql = site.processes[-1]
        self.password = site.first_password()
        site.backend("echo", "-m", "200")
        echo = ROOT / "utils" / "libwebsocket" / "tests" / "servers" / "echo_asyncio.py"
        site.program("direct", [sys.executable, echo, site.run / "direct"], preload=LIBRARY)
        slots = (self.link("sql", 'framing = "nul";')
                 + self.link("auth", 'framing = "nul"; proxy = "v2";')
                 + self.link("direct", 'options = "direct";')
                 + self.link("away", "wait = 5;"))
        held = "".join(self.link(name, f'framing = "{name}";', "echo")
                       for name in ("line", "nul", "length"))
        site.launch("servers = ( " + ", ".join([
            self.server("slots", "maxclients = 150;", slots),
            self.server("memory", f'maxclients = 60; maxmemory = "{HELD}K";', held),
            self.server("proxies", 'maxclients = 150; trusted = "127.77.0.0/16";', ""),
        ]) + " );", MALLOC_ARENA_MAX="1")
        self.starved.backend("echo", "-m", "200")
        self.starved.start(server="maxclients = 1000;")

    def rpc(self, name, plugin, file, *options):
        """Starts websocket_jsonrpc with a plugin and its file."""
        library = RELEASE / f"lib{plugin}.so"
        self.site.backend(name, "-L", library, "-C", f"{self.site.directory}/{file}", *options,
                          program="websocket_jsonrpc")

    def link(self, name, settings, backend=None):
        """One link of the configuration: a service with settings of its own."""
        return (f'{{ origin = "{name}"; type = "unix"; '
                f'destination = "{self.site.run}/{backend or name}"; {settings} }},')

    def server(self, name, settings, links):
        """One server of the configuration."""
        host, port = self.servers[name]
        return f"""{{
            addr = "{host}";
            port = {port};
            maxperip = {PER_ADDRESS};
            keepalivetimeout = 60;
            {settings}
            websocket = {{ docroot = "{self.site.run}"; links = ( {links.rstrip(",")} ); }};
            document = {{ docroot = "{self.site.pages}"; }};
        }}"""

    def figures(self):
        """Descriptors and threads of the gateway, threads of the server of SQL."""
        gateway, sql = (pathlib.Path(f"/proc/{process.pid}")
                        for process in (self.site.gateway, self.sql))
        return (len(os.listdir(gateway / "fd")), len(os.listdir(gateway / "task")),
                len(os.listdir(sql / "task")))

    def peaks(self):
        """Most memory of the gateway and of the server of SQL so far, in KiB."""
        return [peak(process) for process in (self.site.gateway, self.sql)]

    @contextlib.asynccontextmanager
    async def backends(self):
        """Backends that a sample server is not: one that accepts nobody, and one that ends its
        side at once and reads on."""
        full, queued = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        with full, queued:
            # Its queue has room for one (listen(2)).
            full.bind(str(self.site.run / "full"))
            full.listen(0)
            queued.connect(str(self.site.run / "full"))
            half = await asyncio.start_unix_server(self.read_on, self.site.run / "half")
            async with half:
                yield

    async def read_on(self, reader, writer):
        """The backend `half`."""
        with contextlib.suppress(*CUT):
            writer.write_eof()
            while await reader.read(1 << 16):
                pass
        writer.close()

    # Normal clients.

    def on(self):
        """Whether the siege goes on."""
        return time.monotonic() < self.end

    @contextlib.contextmanager
    def waiting(self, kind):
        """Measures a wait; a client that is kept out has an exception."""
        start = time.monotonic()
        yield
        wait = time.monotonic() - start
        self.waits[kind].append(wait)
        self.counts["visits"] += 1
        assert wait < MAX_WAIT, f"a client of {kind} waited for {wait:.1f} s"

    def connect(self, server, name, number):
        """A normal client of a service, from an address of its own."""
        host, port = self.servers[server]
        return connect(f"ws://{host}:{port}/{name}", local_addr=(f"127.99.0.{number}", 0),
                       open_timeout=DEADLINE, close_timeout=DEADLINE)

    async def echo(self, kind, server, name, number):
        """Every byte comes back, and the end is a clean one."""
        chance = random.Random(kind)
        while self.on():
            async with contextlib.AsyncExitStack() as stack:
                with self.waiting(kind):
                    client = await stack.enter_async_context(self.connect(server, name, number))
                    await self.exchange(client, b"first")
                for _ in range(3):
                    await self.exchange(client, chance.randbytes(chance.randrange(1, 9000)))
            assert client.protocol.close_code == 1000, f"{kind}: {client.protocol.close_code}"
            await asyncio.sleep(PAUSE)

    async def exchange(self, client, message):
        """One message there and back."""
        got = b""
        async with asyncio.timeout(DEADLINE):
            await client.send(message)
            self.counts["sent"] += len(message)
            while len(got) < len(message):
                got += await client.recv()
        assert got == message, "bytes came back as others"
        self.counts["received"] += len(got)

    async def ask(self, kind, name, number, request, is_right):
        """A JSON-RPC request gets the result that it should."""
        while self.on():
            with self.waiting(kind):
                async with asyncio.timeout(DEADLINE), self.connect("slots", name, number) as client:
                    await client.send(request)
                    answer = json.loads(await client.recv())
            assert is_right(answer.get("result", {})), f"{kind}: {answer}"
            await asyncio.sleep(PAUSE)

    async def browse(self, kind, number):
        """A page comes."""
        host, port = self.servers["slots"]
        while self.on():
            with self.waiting(kind):
                reader, writer = await asyncio.open_connection(
                    host, port, local_addr=(f"127.99.0.{number}", 0))
                writer.write(b"GET /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                code = await status(reader)
                assert code == 200, f"a page is refused with {code}"
                assert await reader.read() == b"here", "a page came as another"
            writer.close()
            await asyncio.sleep(PAUSE)

    async def starve(self):
        """Many at once come to a gateway of few descriptors: those it lets in are served."""
        while self.on():
            clients = []
            for _ in range(MANY):
                clients.append(await asyncio.open_connection(self.starved.host, self.starved.port))
            served = await asyncio.gather(*(self.is_served(*client) for client in clients))
            assert any(served), "nobody is served"
            self.counts["served of few descriptors"] += sum(served)
            for _, writer in clients:
                writer.transport.abort()
            await asyncio.sleep(1)

    async def is_served(self, reader, writer):
        """Whether a client is let in; if so, it must be served."""
        async with asyncio.timeout(DEADLINE):
            try:
                writer.write(upgrade("echo"))
                if await status(reader) != 101:
                    return False
            except CUT:
                return False
            writer.write(text("here"))
            assert await reader.readexactly(6) == b"\x81\x04here"
        return True

    # The whole.

    def guests(self):
        """All normal clients."""
        owner = call("auth", user="owner", passwd=self.password)
        one = call("exec", query="SELECT 1 AS one")
        return [
            self.echo("echo", "slots", "echo", 1), self.echo("direct", "slots", "direct", 2),
            self.echo("beside held messages", "memory", "echo", 3),
            self.echo("beside proxies", "proxies", "echo", 4), self.browse("page", 5),
            self.ask("sql", "sql", 6, one, lambda result: result == [{"one": 1}]),
            self.ask("owner", "auth", 7, owner, lambda result: result.get("user") == "owner"),
            self.starve(),
        ]

    async def run(self, seconds):
        """Attacks and visits for so long; the first thing that is wrong ends it."""
        before, peaks = self.figures(), self.peaks()
        self.end = time.monotonic() + seconds
        async with self.backends():
            async with asyncio.TaskGroup() as group:
                attacks = [group.create_task(self.attackers.repeat(*attack))
                           for attack in self.attackers.rounds()]
                await asyncio.gather(*(group.create_task(guest) for guest in self.guests()))
                for attack in attacks:
                    attack.cancel()
            await asyncio.to_thread(
                wait_until, f"descriptors and threads under siege to be {before} again",
                lambda: self.figures() == before)
        assert self.counts["sent"] == self.counts["received"]
        bounds = (HELD + SLACK, BUDGET + SLACK_RPC)
        for name, first, bound, most in zip(("gateway", "jsonrpc"), peaks, bounds, self.peaks()):
            self.counts[f"KiB of the {name} at most"] = most
            assert most <= first + bound, f"the {name} took {most} KiB, {first} before"

    def lines(self):
        """What has been done, in lines."""
        yield "siege: waits, 99 of 100 within and the longest: " + ", ".join(
            f"{kind} {sorted(waits)[len(waits) * 99 // 100]:.2f} and {max(waits):.2f} s"
            for kind, waits in self.waits.items())
        yield "siege: normal clients: " + join(self.counts, "{}: {}")
        yield "siege: attackers: " + join(self.attackers.counts, "{}: {}")
        yield "siege: ended after: " + join(self.attackers.ended, "{} {:.1f} s")


def join(counter, form):
    """The entries of a counter in words."""
    return ", ".join(form.format(*item) for item in counter.items())
