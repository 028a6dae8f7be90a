"""A client that others wrote: Python's websockets."""

import concurrent.futures
import random

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from conftest import DEADLINE, connect


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
