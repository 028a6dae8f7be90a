"""What the release build costs while nothing happens."""

import socket

from conftest import DEADLINE

# KiB of proportional set size: the idle daemon, and each idle connection.
IDLE = 2048
CONNECTION = 36

CONNECTIONS = 500

# "Hello" under the masking key 37 fa 21 3d (RFC 6455, section 5.7), and its echo.
HELLO = bytes.fromhex("818537fa213d7f9f4d5158")
ECHO = b"\x81\x05Hello"


def open_client(site):
    """A bare connection past its handshake; a client library would cost too much."""
    client = socket.create_connection((site.host, site.port), timeout=DEADLINE)
    client.sendall(
        f"GET /echo HTTP/1.1\r\nHost: {site.host}:{site.port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        assert byte, head
        head += byte
    assert head.startswith(b"HTTP/1.1 101 "), head
    return client


def exchange(client):
    """One message there and back."""
    client.sendall(HELLO)
    got = b""
    while len(got) < len(ECHO):
        piece = client.recv(len(ECHO) - len(got))
        assert piece
        got += piece
    assert got == ECHO


def test_an_idle_daemon_and_its_idle_connections_are_small(site, figure):
    site.backend("echo", "-m", str(CONNECTIONS + 10))
    site.start(server=f"maxclients = {CONNECTIONS + 10};", websocket="ping = 3600;")
    idle = site.pss()
    clients = [open_client(site) for _ in range(CONNECTIONS)]
    quiet = (site.pss() - idle) / CONNECTIONS
    for client in clients:
        exchange(client)
    used = (site.pss() - idle) / CONNECTIONS
    for client in clients:
        client.close()
    figure(f"idle daemon {idle} KiB PSS; a connection {quiet:.1f} KiB, once used {used:.1f} KiB")
    assert idle <= IDLE
    assert quiet <= CONNECTION
    assert used <= CONNECTION
