"""Upgrades under load: WebSockets of each kind with traffic, and new ones all the time."""

import asyncio
import contextlib
import itertools
import os
import pathlib
import pty
import shutil
import signal
import ssl
import threading
import time
import tty

import pytest
import websockets

import conftest
from authority import Authority
from conftest import DEADLINE, LIBRARY, PATIENT, free_address, wait_until

# How many upgrades; every second one is to a program that does not start.
UPGRADES = int(os.environ.get("OUISTITI_UPGRADES_TESTED", "4"))

# Clients of each kind; so many times as many for a long run.
SCALE = int(os.environ.get("OUISTITI_CLIENTS_SCALE", "1"))
CLIENTS = {
    "relay": 30 * SCALE, "quiet": 20 * SCALE, "wss": 25 * SCALE, "direct": 25 * SCALE,
    "exec": 15 * SCALE, "shared": 10 * SCALE, "line": 10 * SCALE
}

# The kinds of which each client gets what any of them has sent.
SHARED = ("shared", "line")

# Seconds between two messages of a client, and of a quiet one, which goes over to each new process.
PAUSE, QUIET_PAUSE = 0.2, 3

# Bytes that a process with many clients behind it may have more than one before its first client.
MEMORY = 4 << 20


def echo(device):
    """Answers whatever comes over a line."""
    with contextlib.suppress(OSError):
        while data := os.read(device, 4096):
            os.write(device, data)


@pytest.fixture
def line():
    """A serial line whose device answers with what it is sent; the path of the near end."""
    far, near = pty.openpty()
    tty.setraw(near)
    threading.Thread(target=echo, args=(far,), daemon=True).start()
    yield os.ttyname(near)
    # The device hears that its line is gone.
    os.close(near)


@pytest.fixture
def installed(site, line, tmp_path, monkeypatch):
    """A site whose gateway is a copy of the program that may be replaced, with every kind of
    service."""
    program = tmp_path / "bin" / "ouistiti"
    program.parent.mkdir()
    shutil.copy(conftest.GATEWAY[-1], program)
    monkeypatch.setattr(conftest, "GATEWAY", [str(program)])
    authority = Authority(tmp_path / "ca")
    site.secure = free_address()
    pair = authority.issue("gateway", f"IP:{site.secure[0]}")
    site.backend("echo", "-m", "1000")
    site.backend("direct", "-m", "1000", preload=LIBRARY)
    (site.run / "direct").rename(site.directory / "direct")
    site.program_file, site.pid_file = program, tmp_path / "pid"
    site.authority = authority
    site.launch(f"""
        pid-file = "{site.pid_file}";
        servers = ( {{
            addr = "{site.host}"; port = {site.port};
            maxclients = 1000; maxperip = 0;
            websocket = {{
                docroot = "{site.run}"; park = 1;
                links = ( {{
                    origin = "direct"; type = "unix"; destination = "{site.directory}/direct";
                    options = "direct";
                }}, {{
                    origin = "exec"; type = "exec"; destination = "/bin/cat"; framing = "line";
                    maxprocesses = 1000;
                }}, {{
                    origin = "shared"; type = "unix"; destination = "{site.run}/echo";
                    framing = "line"; share = "all";
                }}, {{
                    origin = "line"; type = "tty"; destination = "{line}"; framing = "line";
                }} );
            }};
        }}, {{
            addr = "{site.secure[0]}"; port = {site.secure[1]};
            maxclients = 1000; maxperip = 0;
            tls = {{ crtfile = "{pair[0]}"; keyfile = "{pair[1]}"; }};
            websocket = {{ docroot = "{site.run}"; }};
        }} );
    """)
    return site


def address(site, kind):
    """Where a client of this kind connects, and what it needs for that."""
    if kind == "wss":
        context = ssl.create_default_context(cafile=site.authority.root)
        return f"wss://{site.secure[0]}:{site.secure[1]}/echo", {"ssl": context}
    name = "echo" if kind in ("relay", "quiet") else kind
    # A client that shares gets messages while it closes: it would stop to read, and not see the end.
    return f"ws://{site.host}:{site.port}/{name}", {"max_queue": None} if kind in SHARED else {}


async def exchange(client, number, is_shared):
    """One message there and back; a client that shares gets those of others between them."""
    text = f"message {number:08} of {id(client)}"
    await client.send(text)
    got = await asyncio.wait_for(client.recv(), DEADLINE)
    while is_shared and got != text:
        got = await asyncio.wait_for(client.recv(), DEADLINE)
    assert got in (text, text.encode()), (got, text)


async def talk(client, over, kind):
    """Talks until it is over; returns how many messages came back, each in its turn."""
    for number in itertools.count():
        await exchange(client, number, kind in SHARED)
        if over.is_set():
            await client.close()
            return number + 1
        await asyncio.sleep(QUIET_PAUSE if kind == "quiet" else PAUSE)


async def one_of_each(site, number=0):
    """Opens and ends a client of each kind."""
    for kind in CLIENTS:
        url, more = address(site, kind)
        async with websockets.connect(url, **PATIENT, **more) as client:
            await exchange(client, number, kind in SHARED)


async def come_and_go(site, over):
    """Opens and ends clients until it is over; returns how many were served."""
    for number in itertools.count():
        await one_of_each(site, number)
        if over.is_set():
            return number * len(CLIENTS)


def pid(site):
    """The process in the pid file; 0 while it is being written."""
    return int(site.pid_file.read_text().strip() or 0)


def upgrade(site, good, broken):
    """Puts a program there, and waits until the upgrade to it has ended."""
    new = site.program_file.with_suffix(".new")
    shutil.copy(broken or good, new)
    new.rename(site.program_file)
    before = pid(site)
    failed = lambda: sum("no upgrade: " in line for line in list(site.log))
    failures = failed()
    os.kill(before, signal.SIGUSR2)
    if broken:
        wait_until("the upgrade to fail", lambda: failed() > failures)
        assert pid(site) == before
    else:
        wait_until("another process", lambda: pid(site) not in (0, before))


def held(process):
    """The descriptors and the bytes of memory that a process has."""
    status = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text()
    memory = next(line for line in status.splitlines() if line.startswith("Pss:"))
    return len(os.listdir(f"/proc/{process}/fd")), int(memory.split()[1]) << 10


def running(site):
    """The processes that run a copy of the program."""
    found = []
    for link in pathlib.Path("/proc").glob("[0-9]*/exe"):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.removesuffix(" (deleted)") == str(site.program_file):
            found.append(int(link.parent.name))
    return found


async def under_load(site, good, broken):
    over = asyncio.Event()
    clients = []
    for kind, count in CLIENTS.items():
        url, more = address(site, kind)
        for _ in range(count):
            connected = websockets.connect(url, ping_interval=None, **PATIENT, **more)
            clients.append((await connected, kind))
    talks = [asyncio.create_task(talk(client, over, kind)) for client, kind in clients]
    newcomers = asyncio.create_task(come_and_go(site, over))
    begin = time.monotonic()
    for number in range(UPGRADES):
        await asyncio.to_thread(upgrade, site, good, broken if number % 2 else None)
        failed = [task for task in [*talks, newcomers] if task.done()]
        assert not failed, failed[0].exception()
    over.set()
    messages = sum(await asyncio.gather(*talks))
    print(
        f"figure: {UPGRADES} upgrades in {time.monotonic() - begin:.0f} s: {len(clients)} clients, "
        f"{messages} messages, {await newcomers} newcomers, none lost or refused"
    )


def test_websockets_of_each_kind_live_through_upgrades(installed, tmp_path):
    good, broken = tmp_path / "good", tmp_path / "broken"
    shutil.copy(installed.program_file, good)
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    upgrade(installed, good, None)
    # The first client of a program makes what all of them share.
    asyncio.run(one_of_each(installed))
    descriptors, memory = held(pid(installed))
    asyncio.run(under_load(installed, good, broken))
    # The process that was started stays until the last one ends; those between are gone.
    last = {installed.gateway.pid, pid(installed)}
    wait_until("the processes between to end", lambda: set(running(installed)) == last)
    # Nothing is left of all that in the process that serves now.
    wait_until("descriptors as before", lambda: held(pid(installed))[0] <= descriptors)
    wait_until("memory as before", lambda: held(pid(installed))[1] <= memory + MEMORY)
    now = held(pid(installed))
    print(f"figure: {descriptors} descriptors and {memory >> 10} KB before, {now[0]} and {now[1] >> 10} KB after")
    went = sum("silent clients over" in line for line in list(installed.log))
    assert went > 0, "no quiet client has gone over to another process"
    installed.gateway.send_signal(signal.SIGTERM)
    assert installed.gateway.wait(DEADLINE) == 0
    wait_until("all of it to end", lambda: not running(installed))
