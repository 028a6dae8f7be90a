"""Serial lines with programs of others: socat makes the line; ser2net, picocom and gpsd use it."""

import functools
import json
import operator
import os
import pty
import socket
import subprocess
import threading
import tty

import pytest
from websockets.exceptions import ConnectionClosed

from conftest import DEADLINE, connect, free_address, wait_until
from test_preloaded import program
from test_recipes import hear, listening, recipe, run

# What these tests need of Debian (tests/setup has the list of all).
DEBIAN_PACKAGES = ["gpsd", "picocom", "ser2net", "socat"]


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
        # At the other end of the line a person sits. Opening it, picocom drops what waits there.
        command.remove("-q")
        person = subprocess.Popen([*command, far], stdin=own, stdout=own, stderr=own)
        site.processes.append(person)
        hear(terminal, b"Terminal ready")
        page.send("login:")
        hear(terminal, b"login:")
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
    with connect(site.url("modem"), compression=None) as page:
        page.send("back")
        with open(far, "rb", buffering=0) as other:
            assert other.readline() == b"back\r\n"


def sentence(text):
    """A sentence of NMEA 0183, with its checksum."""
    return f"${text}*{functools.reduce(operator.xor, text.encode()):02X}\r\n".encode()


def drive(receiver, is_over):
    """A receiver that tells where it is, ten times a second."""
    for number in range(10_000):
        if is_over.wait(0.1):
            return
        time = f"12{number // 60 % 60:02}{number % 60:02}"
        receiver.write(
            sentence(f"GPGGA,{time},4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,")
            + sentence(f"GPRMC,{time},A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W"))


def position(page):
    """The next position that gpsd tells a page."""
    while True:
        told = json.loads(page.recv(timeout=DEADLINE))
        if told["class"] == "TPV" and "lat" in told:
            return round(told["lat"], 4), round(told["lon"], 4)


def test_pages_share_one_connection_to_gpsd_and_one_of_them_asks_it_to_watch(site, line):
    near, far, _ = line
    _, port = free_address()
    # It serves loopback alone.
    gpsd = ("127.0.0.1", port)
    listening(site, "gpsd", [program("gpsd"), "-N", "-n", "-b", "-S", str(port), near], gpsd)
    serve(site, near, ('type = "tty";', 'type = "tcp"; share = "all"; replay = "4K";'),
          (f'destination = "{near}";', f'destination = "{gpsd[0]}"; port = {port};'),
          ("baud = 115200;", ""))
    is_over = threading.Event()
    with open(far, "wb", buffering=0) as receiver:
        driver = threading.Thread(target=drive, args=(receiver, is_over))
        driver.start()
        try:
            with connect(site.url("modem"), compression=None) as one, \
                    connect(site.url("modem"), compression=None) as other:
                one.send('?WATCH={"enable":true,"json":true};')
                assert position(one) == position(other) == (48.1173, 11.5167)
                # Whoever comes later need not ask.
                with connect(site.url("modem"), compression=None) as late:
                    assert position(late) == (48.1173, 11.5167)
        finally:
            is_over.set()
            driver.join()
