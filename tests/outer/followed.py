"""Clients of which all is told when they fail: what they saw, and what the logs say of them."""

import asyncio
import contextlib
import os
import re

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake

# Longest wait for the gateway's last line about a client, in seconds.
LINE_WAIT = 10

# Lines that are told of the gateway about a client, and of each backend.
LINES = 40
LAST = 5


class Followed(ClientConnection):
    """A client that counts what it exchanges, in bytes of payload."""

    sent = received = 0

    async def send(self, message, **options):
        await super().send(message, **options)
        self.sent += length(message)

    async def recv(self, **options):
        message = await super().recv(**options)
        self.received += length(message)
        return message


def length(message):
    """Bytes of payload."""
    return len(message.encode() if isinstance(message, str) else message)


@contextlib.asynccontextmanager
async def followed(site, connecting):
    """Opens a client of a site. What goes wrong with it fails with all that is known of it."""
    try:
        client = await connecting
    except (InvalidHandshake, OSError) as failure:
        failure.add_note(f"at the opening of {connecting.uri}")
        raise
    async with client:
        try:
            yield client
        except (AssertionError, ConnectionClosed, OSError) as failure:
            raise AssertionError(await story(site, client, failure)) from failure


async def story(site, client, failure):
    """What is known of a client that failed."""
    host, port = client.local_address[:2]
    address = f"{host}:{port}"
    service = client.request.path.strip("/")
    end = re.compile(re.escape(address) + r" .*, id \d+$")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINE_WAIT):
            while not any(end.search(line) and "handed over" not in line for line in list(site.log)):
                await asyncio.sleep(0.1)
    tls = client.transport.get_extra_info("ssl_object")
    protocol = client.protocol
    found = re.compile(re.escape(address) + r"\b")
    lines = [line for line in list(site.log) if found.search(line)]
    return "\n".join([
        f"client {address} of {service} ({'wss' if tls else 'ws'}): {failure!r}, "
        f"because of {failure.__cause__!r}; {client.sent} bytes sent, {client.received} received; "
        f"Close sent: {protocol.close_sent}, received: {protocol.close_rcvd}; state "
        f"{client.state.name}; load {os.getloadavg()[0]:.0f}",
        f"The gateway about it, {min(len(lines), LINES)} of {len(lines)} lines:",
        *(f"  {line.rstrip()}" for line in lines[-LINES:]),
        *(line for path in sorted(site.directory.glob("*.log")) for line in last_lines(path)),
    ])


def last_lines(path):
    """The last lines of a backend's log."""
    yield f"{path.name}:"
    yield from (f"  {line}" for line in path.read_text(errors="replace").splitlines()[-LAST:])
