"""Serial lines with programs of others: socat makes the line, ser2net and picocom use it."""

import os
import pty
import socket
import subprocess
import tty

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from conftest import DEADLINE, free_address, wait_until
from test_preloaded import program
from test_recipes import listening, recipe, run

# What these tests need of Debian (tests/setup has the list of all).
DEBIAN_PACKAGES = ["picocom", "ser2net", "socat"]


@pytest.fixture
def line(site):
    """A line between two terminals, as a cable makes it: the path of each end, and its process."""
    ends = [site.directory / "near", site.directory / "far"]
    command = [program("socat"), *(f"pty,rawer,link={end}" for end in ends)]
    run(site, "socat", command)
    wait_until("both ends of the line", lambda: all(end.is_symlink() for end in ends))
    return (*ends, site.processes[-1])


def serve(site, device, *changes):
    """Starts the gateway with the recipe for a serial line."""
    here = f'servers = ({{\n    addr = "{site.host}"; port = {site.port};'
    site.launch(recipe("serial-port.conf", ("servers = ({", here),
                       ("/dev/ttyUSB0", str(device)), *changes))


def test_a_page_talks_to_a_client_of_ser2net_over_the_line(site, line):
    near, far, _ = line
    host, port = free_address()
    conf = site.directory / "ser2net.yaml"
    conf.write_text(f"""%YAML 1.1
---
connection: &line
    accepter: tcp,{host},{port}
    connector: serialdev(nouucplock=true),{far},115200n81,local
    options:
        max-connections: 4
""")
    listening(site, "ser2net", [program("ser2net"), "-d", "-u", "-c", conf], (host, port))
    serve(site, near, ("115200;", '115200;\n            exclusive = true;'))
    with connect(site.url("modem"), compression=None) as page, \
            socket.create_connection((host, port), DEADLINE) as other:
        lines = other.makefile("rwb", buffering=0)
        lines.write(b"from afar\r\n")
        assert page.recv(timeout=DEADLINE) == "from afar"
        for number in range(200):
            page.send(f"line {number}")
        for number in range(200):
            assert lines.readline() == f"line {number}\r\n".encode()


def test_picocom_finds_an_exclusive_line_locked_and_a_free_one_open(site, line):
    near, far, _ = line
    serve(site, near, ("115200;", '115200;\n            exclusive = true;'))
    terminal, own = pty.openpty()
    tty.setraw(own)
    command = [program("picocom"), "-q", "-b", "115200", "--noreset"]
    with connect(site.url("modem"), compression=None) as page:
        refused = subprocess.run([*command, near], stdin=own, capture_output=True, text=True,
                                 timeout=DEADLINE, check=False)
        assert refused.returncode != 0
        assert "lock" in refused.stderr or "busy" in refused.stderr, refused
        # At the other end of the line a person sits.
        person = subprocess.Popen([*command, far], stdin=own, stdout=own, stderr=own)
        site.processes.append(person)
        page.send("login:")
        heard = b""
        while b"login:" not in heard:
            heard += os.read(terminal, 100)
        os.write(terminal, b"root\r\n")
        assert page.recv(timeout=DEADLINE) == "root"


def test_a_line_whose_adapter_is_pulled_out_ends_with_1001_and_comes_back(site, line):
    near, far, socat = line
    serve(site, near, ('framing = "crlf";', 'framing = "crlf"; wait = 60;'))
    with connect(site.url("modem"), compression=None) as page:
        socat.terminate()
        with pytest.raises(ConnectionClosed) as gone:
            page.recv(timeout=DEADLINE)
        assert gone.value.rcvd.code == 1001
    socat.wait(DEADLINE)
    run(site, "socat-2", [program("socat"), f"pty,rawer,link={near}", f"pty,rawer,link={far}"])
    with connect(site.url("modem"), compression=None, open_timeout=DEADLINE) as page:
        page.send("back")
        with open(far, "rb", buffering=0) as other:
            assert other.readline() == b"back\r\n"
