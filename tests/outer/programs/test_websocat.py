"""websocat, a client for the command line that others wrote."""

import random
import subprocess

import pytest

from conftest import CACHE, DEADLINE

pytestmark = pytest.mark.skipif(not (CACHE / "bin" / "websocat").exists(), reason="no websocat")


@pytest.fixture
def echo(site):
    """A site with an echo server that keeps messages."""
    site.backend("echo", "-q")
    site.start()
    return site


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
