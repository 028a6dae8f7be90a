"""A gateway and its servers, from the release build, for each test."""

import fcntl
import functools
import itertools
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
import websockets.sync.client

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE = ROOT / "target" / "release"
LIBRARY = ROOT / "utils" / "libwebsocket" / "so" / "target" / "release" / "libwebsocket.so"
OUT = ROOT / "out"

# The gateway that is looked at: with OUISTITI_GATEWAY one for another processor, in an emulator.
GATEWAY = os.environ.get("OUISTITI_GATEWAY", str(RELEASE / "ouistiti")).split()
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "ouistiti"

# Longest wait for anything, in seconds; it only ends what would never end.
DEADLINE = 180

# Lines of a gateway's log that are kept, up to twice as many.
LINES = 50_000

# Bytes that a gateway may log while this program is busy: it loses lines that nobody takes.
PIPE = 1 << 20

# A shell that starts the tests with '&' has Ctrl-C ignored, and programs would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A client of `websockets` gives up after ten or twenty seconds by itself.
PATIENT = {"open_timeout": DEADLINE, "close_timeout": DEADLINE, "ping_timeout": DEADLINE}

# A client of `websockets` that waits as long as a test does.
connect = functools.partial(websockets.sync.client.connect, **PATIENT)

_hosts = itertools.count(1)

# Ports below those that the kernel gives to clients (ip_local_port_range, ip(7)): nobody's client
# has one by chance while a test uses it.
PORTS = range(10_000, 32_000)


def wait_until(what, condition):
    """Returns when `condition` holds; fails after the deadline."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"waited {DEADLINE} s for {what}"
        time.sleep(0.01)


def free_address():
    """A loopback address of its own, and a port free there and at 127.0.0.1."""
    pid = os.getpid()
    while True:
        number = next(_hosts)
        host = f"127.{1 + (pid >> 8) % 250}.{pid % 256}.{1 + number % 254}"
        # Tests that run side by side begin at different ports.
        port = PORTS[(pid * 331 + number) % len(PORTS)]
        try:
            for name in (host, "127.0.0.1"):
                socket.create_server((name, port)).close()
        except OSError:
            continue
        return host, port


def listens(path):
    """Whether a server listens on a UNIX socket: one that is bound may not do so yet."""
    lines = pathlib.Path("/proc/net/unix").read_text(errors="replace").splitlines()
    # Flags are the fourth word: __SO_ACCEPTCON.
    return any(line.split()[3] == "00010000" for line in lines if line.endswith(f" {path}"))


def collect(lines, log):
    """Adds lines to a log as they come, and takes the oldest out of one that is long."""
    for line in lines:
        log.append(line)
        if len(log) >= 2 * LINES:
            del log[:LINES]


def peak(process):
    """Most memory that a process has had, in KiB (`VmHWM` of proc(5))."""
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM:"))


class Site:
    """One gateway in a temporary directory, with the servers behind it."""

    def __init__(self, directory):
        self.directory = directory
        self.run = directory / "run"
        self.run.mkdir()
        self.processes = []
        self.gateway = None
        # Its lines so far, and who reads them.
        self.log = []
        self.reader = None
        # A command that the gateway is run by, such as prlimit(1).
        self.runner = []
        # Options of the gateway beside those that it is started with.
        self.options = []
        self.pages = ROOT / "utils" / "htdocs"
        self.host, self.port = free_address()

    def backend(self, name, *options, program="websocket_echo", preload=None):
        """Starts a sample server as the service `name`."""
        self.program(name, [RELEASE / program, "-R", self.run, "-n", name, *options], preload)

    def program(self, name, command, preload=None):
        """Starts a program that listens as the service `name`."""
        # The loader goes on without it, and so does the backend, to which clients are handed in vain.
        assert not preload or preload.exists(), f"no {preload}: build it as `make` does"
        log = self.directory / f"{name}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stderr=output,
                env={**os.environ, "LD_PRELOAD": str(preload)} if preload else None,
            )
        self.processes.append(process)
        path = self.run / name
        wait_until(f"{name} to listen", lambda: listens(path) or process.poll() is not None)
        assert process.poll() is None, f"{name}: {log.read_text()}"

    def start(self, websocket="", server="", addr=None):
        """Starts the gateway with these settings in its sections."""
        self.host = addr or self.host
        # Some clients answer no ping, and a busy machine may take minutes for a test.
        ping = "" if "ping" in websocket else "ping = 3600;"
        return self.launch(f"""
            servers = ( {{
                addr = "{self.host}";
                port = {self.port};
                {server}
                websocket = {{
                    docroot = "{self.run}";
                    {websocket} {ping}
                }};
                document = {{
                    docroot = "{self.pages}";
                }};
            }} );
        """)

    def launch(self, text, **environment):
        """Starts the gateway with this configuration, one that listens on `host` and `port`, and
        with these variables beside those of its environment."""
        path = self.directory / "ouistiti.conf"
        path.write_text(text)
        return self.run_with(["-f", path], **environment)

    def without_file(self, *options):
        """Starts the gateway without a file: with `-l` and these options."""
        return self.run_with(["-l", f"{self.host}:{self.port}", *options])

    def run_with(self, options, **environment):
        """Starts the gateway with these options; it listens on `host` and `port`."""
        log = self.log = []
        self.gateway = subprocess.Popen(
            [*self.runner, *GATEWAY, *self.options, *options], stdin=subprocess.DEVNULL,
            env=os.environ | environment, stderr=subprocess.PIPE, text=True, errors="replace",
        )
        self.processes.append(self.gateway)
        fcntl.fcntl(self.gateway.stderr, fcntl.F_SETPIPE_SZ, PIPE)
        self.reader = threading.Thread(target=collect, args=(self.gateway.stderr, log), daemon=True)
        self.reader.start()
        listening = lambda: any(f"{self.host}:{self.port}" in line for line in list(log))
        wait_until("the gateway to listen", lambda: listening() or self.gateway.poll() is not None)
        assert self.gateway.poll() is None, "the gateway ended at its start:\n" + "".join(log)
        return self

    def serve(self, way, name, *options, program="websocket_echo"):
        """Starts a sample server and the gateway, put together in one of the `WAYS`."""
        if way == "direct":
            self.backend(name, *options, program=program, preload=LIBRARY)
            return self.start(websocket='options = "direct";')
        packets = ["-q"] if way == "packets" else []
        self.backend(name, *packets, *options, program=program)
        return self.start()

    def first_password(self, name="auth"):
        """The password that authrpc has printed for the first user (`root=NAME`)."""
        log = self.directory / f"{name}.log"
        found = lambda: re.search(r"with the password (\S+)\n", log.read_text())
        wait_until("a password", found)
        return found().group(1)

    def whole_log(self):
        """Ends the gateway. What is not in this text was never logged."""
        self.gateway.terminate()
        self.gateway.wait(DEADLINE)
        self.reader.join(DEADLINE)
        return "".join(self.log)

    def url(self, name, scheme="ws"):
        """Where the service or page `name` is."""
        return f"{scheme}://{self.host}:{self.port}/{name}"

    def pss(self):
        """Proportional set size of the gateway, in KiB (proc(5))."""
        return self.smaps("Pss:")

    def own(self):
        """What of it no file backs, in KiB. The rest is shared with each gateway that runs."""
        return self.smaps("Pss_Anon:")

    def smaps(self, name):
        """A figure of the gateway, in KiB (proc(5), smaps_rollup)."""
        text = pathlib.Path(f"/proc/{self.gateway.pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name))

    def stop(self):
        """Ends all that was started."""
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def site(tmp_path_factory):
    """A site, stopped after the test."""
    site = Site(tmp_path_factory.mktemp("s"))
    yield site
    site.stop()


# A stream or a SEQPACKET socket behind the relay; or clients handed over to libwebsocket.so.
WAYS = ["stream", "packets", "direct"]


@pytest.fixture(params=WAYS)
def way(request):
    """Each of the `WAYS`."""
    return request.param


@pytest.fixture
def figure(record_property):
    """Takes a line to print when all is done: what was measured."""
    return lambda line: record_property("figure", line)


def pytest_terminal_summary(terminalreporter):
    """Prints the figures below the results."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    for report in reports:
        for name, line in getattr(report, "user_properties", []):
            if name == "figure":
                terminalreporter.write_line(f"figure: {line}")


@pytest.fixture(scope="session")
def out():
    """The directory for reports and pictures."""
    OUT.mkdir(exist_ok=True)
    return OUT
