"""Clients that others wrote: Python's websockets, and websocat."""

import concurrent.futures
import random
import subprocess

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from conftest import CACHE, DEADLINE


@pytest.fixture
def echo(site):
    """A site with an echo server that keeps messages."""
    site.backend("echo", "-q")
    site.start()
    return site


def test_websockets_gets_back_every_message(echo):
    with connect(echo.url("echo"), max_size=None) as client:
        for message in ["Hello", "", "🐒 é €", b"", b"\x00\xff", "x" * 70_000, bytes(1 << 20)]:
            client.send(message)
            assert client.recv(timeout=DEADLINE) == message


def test_websockets_fragments_are_joined(echo):
    with connect(echo.url("echo")) as client:
        client.send(["one ", "mess", "age"])
        assert client.recv(timeout=DEADLINE) == "one message"


def test_websockets_ping_is_answered(echo):
    with connect(echo.url("echo")) as client:
        assert client.ping("payload").wait(DEADLINE)


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_websockets_close_code_comes_back(echo, code):
    with connect(echo.url("echo")) as client:
        client.close(code, "goodbye")
    assert client.protocol.close_rcvd.code == code


def test_websockets_sees_1001_at_shutdown(echo):
    with connect(echo.url("echo")) as client:
        echo.gateway.terminate()
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=DEADLINE)
        assert closed.value.rcvd.code == 1001
    assert echo.gateway.wait(DEADLINE) == 0


@pytest.mark.parametrize(("name", "status"), [("absent", 404), ("%2e%2e/x", 404)])
def test_websockets_is_refused(echo, name, status):
    with pytest.raises(InvalidStatus) as refused:
        connect(echo.url(name))
    assert refused.value.response.status_code in (400, status)


def test_twenty_clients_at_once_get_their_own(echo):
    def exchange(seed):
        rng = random.Random(seed)
        with connect(echo.url("echo"), max_size=None) as client:
            for _ in range(50):
                message = rng.randbytes(rng.choice([1, 100, 5000, 40_000]))
                client.send(message)
                if client.recv(timeout=DEADLINE) != message:
                    return False
        return True

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert all(pool.map(exchange, range(20)))


def websocat(url, *options, data):
    """What websocat prints when it has sent `data`."""
    command = [CACHE / "bin" / "websocat", *options, url]
    return subprocess.run(command, input=data, capture_output=True, timeout=DEADLINE, check=False)


def test_websocat_gets_back_a_text(echo):
    result = websocat(echo.url("echo"), "-n1", data="Hello, 🐒\n".encode())
    assert result.stdout == "Hello, 🐒\n".encode(), result


def test_websocat_gets_back_binary(echo):
    data = random.Random(3).randbytes(60_000)
    result = websocat(echo.url("echo"), "-b", "-n1", "-B", "65536", data=data)
    assert result.stdout == data, result


def test_websocat_speaks_through_a_stream_backend(site):
    site.backend("echo")
    site.start()
    result = websocat(site.url("echo"), "-n1", data=b"through a stream\n")
    assert result.stdout == b"through a stream\n", result


def test_websocat_is_refused_a_foreign_origin(echo):
    result = websocat(echo.url("echo"), "-n1", "--origin", "http://evil.example", data=b"x\n")
    assert result.returncode != 0
    assert b"403" in result.stderr, result
