"""Direct mode: the gateway hands the client over, and libwebsocket speaks frames."""

import os
import pathlib
import subprocess

import pytest
from websockets.sync.client import connect

from conftest import DEADLINE, RELEASE, ROOT, wait_until
from test_autobahn import CASES, is_good, run

LIBRARY = ROOT / "utils" / "libwebsocket" / "so"


@pytest.fixture(scope="module")
def library():
    """libwebsocket.so, as it is installed."""
    subprocess.run(["cargo", "build", "--quiet", "--release", "--locked",
                    "--manifest-path", LIBRARY / "Cargo.toml"], check=True)
    (path,) = (LIBRARY / "target" / "release").glob("libwebsocket*.so")
    return path


@pytest.fixture(scope="module")
def message_echo():
    """The complete example server of the Rust API."""
    subprocess.run(["cargo", "build", "--quiet", "--release", "--package", "libwebsocket",
                    "--example", "message_echo"], cwd=ROOT, check=True)
    return RELEASE / "examples" / "message_echo"


def sockets(pid):
    """How many sockets a process holds (proc(5))."""
    count = 0
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += os.readlink(link).startswith("socket:")
        except FileNotFoundError:
            pass
    return count


def test_an_unmodified_server_speaks_frames_when_preloaded(site, library, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", str(library))
    site.backend("echo")
    monkeypatch.delenv("LD_PRELOAD")
    site.start(websocket='options = "direct";')
    before = sockets(site.gateway.pid)
    with connect(site.url("echo"), max_size=None) as client:
        for message in ["Hello", "é € 🐒", "x" * 20_000]:
            client.send(message)
            got = ""
            while len(got) < len(message):
                got += client.recv(timeout=DEADLINE)
            assert got == message
        assert client.ping("still there").wait(DEADLINE)
        wait_until("the gateway to let go", lambda: sockets(site.gateway.pid) == before)
    assert client.close_code == 1000


def test_every_case_is_ok_with_the_explicit_api(site, out, figure, message_echo):
    path = site.run / "echo"
    site.processes.append(subprocess.Popen([message_echo, path], stdin=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL))
    wait_until("the example to listen", path.is_socket)
    site.start(websocket='options = "direct";')
    results = run(site, out / "autobahn-direct", [], ["12.*", "13.*"])
    assert len(results) == CASES
    bad = [case for case, result in results.items() if not is_good(case, result)]
    # Once more for each: some cases have timers of their own, and machines are busy.
    if bad:
        again = run(site, out / "autobahn-direct-again", bad, [])
        bad = {case: result for case, result in again.items() if not is_good(case, result)}
    figure(f"Autobahn, direct: {len(results) - len(bad)} of {len(results)} as they should be")
    assert not bad
