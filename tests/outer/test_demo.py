"""`make demo`: the address it prints works, and Ctrl-C leaves nothing behind."""

import base64
import itertools
import os
import pathlib
import re
import signal
import ssl
import subprocess
import urllib.error
import urllib.request

import pytest
from websockets.sync.client import connect

from conftest import DEADLINE, ROOT


def test_the_demo_serves_a_page_and_stops_cleanly(tmp_path):
    # Where these tests run in the background Ctrl-C is ignored, and children inherit that.
    demo = subprocess.Popen(
        ["env", "--default-signal=INT", "make", "--silent", "demo"], cwd=ROOT, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        lines, hosts = [], {}
        for line in demo.stdout:
            lines.append(line)
            hosts.update(re.findall(r"(https?)://(localhost:\d+)/", line))
            if len(hosts) == 2:
                break
        else:
            raise AssertionError("it printed no two addresses:\n" + "".join(lines))
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
        log_in = base64.b64encode(f"admin:{password(lines, demo.stdout)}".encode()).decode()
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
        rest, _ = demo.communicate(timeout=DEADLINE)
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGTERM)
    assert "demo: stopped" in rest, rest
    assert not root.exists()
    assert not left_running(str(root))


def password(lines, more):
    """The password of admin among the lines that the demo has printed, or prints next."""
    for line in itertools.chain(lines, more):
        if found := re.search(r"with the password (\S+)", line):
            return found.group(1)
    raise AssertionError("it printed no password")


def left_running(root):
    """Command lines of processes that name the demo's directory."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if root in line:
            found.append(line)
    return found
