"""`make demo`: the address it prints works, and Ctrl-C leaves nothing behind."""

import base64
import contextlib
import os
import pathlib
import re
import signal
import ssl
import subprocess
import threading
import urllib.error
import urllib.request

import pytest

from conftest import DEADLINE, ROOT, connect, wait_until


# Seconds for what the demo builds first, where it has not been built.
BUILD = 900


@pytest.fixture
def demo(tmp_path):
    """`make demo` with its files below `tmp_path`, and what it prints, `log`. Nothing of it is left
    after the test."""
    subprocess.run(["cargo", "build", "--quiet", "--release", "--workspace"], cwd=ROOT, check=True, timeout=BUILD)
    # Where these tests run in the background Ctrl-C is ignored, and children inherit that.
    demo = subprocess.Popen(
        ["env", "--default-signal=INT", "make", "--silent", "demo"], cwd=ROOT, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    demo.log = []
    demo.reader = threading.Thread(target=lambda: demo.log.extend(demo.stdout), daemon=True)
    demo.reader.start()
    yield demo
    with contextlib.suppress(ProcessLookupError):
        os.killpg(demo.pid, signal.SIGKILL)
    # Its gateway and its servers are in sessions of their own, which no signal to the group reaches.
    for pid in running(tmp_path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    demo.wait(DEADLINE)


def test_the_demo_serves_a_page_and_stops_cleanly(demo, tmp_path):
    hosts = dict(printed(demo, r"(https?)://(localhost:\d+)/", 2))
    host = hosts["http"]
    with urllib.request.urlopen(f"http://{host}/", timeout=DEADLINE) as page:
        index = page.read().decode()
    # The terminal's page is there, and its card shown, only after `make terminal`.
    for link in set(re.findall(r'href="(\w+\.html)"', index)) - {"terminal.html", "members.html"}:
        with urllib.request.urlopen(f"http://{host}/{link}", timeout=DEADLINE) as page:
            assert b"<title>" in page.read()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{host}/members.html", timeout=DEADLINE)
    assert refused.value.code == 401
    (password,) = printed(demo, r"with the password (\S+)", 1)
    log_in = base64.b64encode(f"admin:{password}".encode()).decode()
    known = urllib.request.Request(f"http://{host}/members.html", headers={"Authorization": f"Basic {log_in}"})
    with urllib.request.urlopen(known, timeout=DEADLINE) as page:
        assert b"<title>Members" in page.read()
    services = re.findall(r'data-service="(\w+)"', index)
    assert services == ["echo", "chat", "auth", "sql"]
    for service in services:
        connect(f"ws://{host}/{service}", origin=f"http://{host}", legacy=True).close()
    with connect(f"ws://{host}/echo", origin=f"http://{host}") as client:
        client.send("from the demo")
        assert client.recv(timeout=DEADLINE) == "from the demo"
    (root,) = tmp_path.iterdir()
    known = ssl.create_default_context(cafile=root / "crt.pem")
    page = f"https://{hosts['https']}/"
    with urllib.request.urlopen(page, timeout=DEADLINE, context=known) as page:
        assert b"<title>" in page.read()
    os.killpg(demo.pid, signal.SIGINT)
    printed(demo, "demo: stopped", 1)
    demo.wait(DEADLINE)
    assert not root.exists()
    assert not running(root)


def printed(demo, pattern, count):
    """The first `count` places of the demo's log that match `pattern`, once they are there."""
    found = lambda: re.findall(pattern, "".join(demo.log))
    wait_until(f"'{pattern}' in the demo's log", lambda: len(found()) >= count or not demo.reader.is_alive())
    assert len(found()) >= count, "the demo ended:\n" + "".join(demo.log)
    return found()[:count]


def running(directory):
    """Processes whose command line names a path below this directory."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if os.fsencode(f"{directory}/") in path.read_bytes():
                found.append(int(path.parent.name))
    return found
