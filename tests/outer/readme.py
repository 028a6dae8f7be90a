"""Runs the commands of README.md as they stand there, in the root of a machine of its own.

`test_readme.py` makes that root, which has no Python: this looks at it from outside. Every command
must be one that is known here: it ends well, or serves what it says until it is stopped.
"""

import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request

from websockets.sync.client import connect

# A shell that starts the tests with '&' has Ctrl-C ignored, and programs would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The root of that machine, and the source in it.
MACHINE = pathlib.Path(os.environ["BARE"])
SOURCE = pathlib.Path(os.environ["SOURCE"])

# What a shell there has; the toolchain asks no registry.
ENVIRONMENT = {
    "HOME": "/root", "LANG": "C.UTF-8", "CARGO_NET_OFFLINE": "true",
    "CARGO_HOME": os.environ["CARGO_HOME"], "RUSTUP_HOME": os.environ["RUSTUP_HOME"],
    "PATH": f"{os.environ['CARGO_HOME']}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}

# Longest wait for anything, in seconds.
DEADLINE = 60

# Commands that serve until they are stopped: an address, what is sent there, what comes back.
SERVERS = {
    "target/release/ouistiti -l 8080 -- ./hello.sh": ("8080/hello", "world", "Hello, world"),
    "ouistiti -l 8080 -w . -- ./hello.sh": ("8080/hello", "world", "Hello, world"),
    "ouistiti -l 8080 -b ./my.sock": ("8080/any", "one", "one"),
    "ouistiti -l 8080 -b 127.0.0.1:5900": ("8080/any", "two", "two"),
    "ouistiti -l 8080 -d ./run": ("8080/echo", "three", "three"),
    "ouistiti -l '*:8080' -d ./run": ("8080/echo", "four", "four"),
    "LD_PRELOAD=libwebsocket.so websocket_echo -n direct": ("80/direct", "five", "five"),
    "./message_echo /var/run/ouistiti/messages": ("80/messages", "six", "six"),
}

# Commands that end; what is looked at then.
OTHERS = {
    "make": None,
    "make install DESTDIR=/ PREFIX=/usr": None,
    "export PATH=$PWD/target/release:$PATH": None,
    "ouistiti -t -l 8080 -d ./run > my.conf": None,
    "ouistiti -t": None,
    "ouistiti -D": None,
    "websocket_echo -n echo -D": ("80/echo", "seven", "seven"),
    "ouistiti -K": None,
    "cc -o message_echo utils/libwebsocket/examples/message_echo.c"
    " $(pkg-config --cflags --libs libwebsocket)": None,
}


def exchange(address, sent, wanted):
    """Sends a message and compares what comes back, as soon as somebody serves."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            with connect(f"ws://127.0.0.1:{address}", proxy=None) as client:
                client.send(sent)
                got = client.recv(timeout=DEADLINE)
            assert got == wanted, f"{address}: {got!r}"
            return
        except OSError as error:
            assert time.monotonic() < end, f"{address}: {error}"
            time.sleep(0.05)
        except Exception as error:
            assert "HTTP" in str(error) and time.monotonic() < end, f"{address}: {error}"
            time.sleep(0.05)


def serve_tcp():
    """A TCP server that sends back what comes."""
    def one(client):
        while data := client.recv(4096):
            client.sendall(data)

    listener = socket.create_server(("127.0.0.1", 5900))
    while True:
        threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()


def there(path):
    """Where a file of that machine lies."""
    return MACHINE / str(path).lstrip("/")


def shell(command):
    """The command that has a shell of that machine run this one, in the source."""
    return ["chroot", MACHINE, "/bin/bash", "-c", f"cd {SOURCE} && {command}"]


@contextlib.contextmanager
def running(command):
    """A command that serves until the block ends."""
    process = subprocess.Popen(shell(command), env=ENVIRONMENT, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(DEADLINE)


def block(text, after):
    """The indented lines after a line that ends with these words."""
    rest = text.split(after, 1)[1].lstrip("\n").splitlines()
    lines = []
    for line in rest:
        if line and not line.startswith("    "):
            break
        lines.append(line[4:])
    return "\n".join(lines).rstrip() + "\n"


def run(command, config):
    """Runs one command of the README."""
    print(f"readme: {command}", flush=True)
    if command.startswith("export "):
        ENVIRONMENT["PATH"] = f"{SOURCE}/target/release:{ENVIRONMENT['PATH']}"
    elif command in SERVERS:
        with running(command):
            exchange(*SERVERS[command])
            if "ouistiti -l" in command and "-w" not in command:
                with urllib.request.urlopen("http://127.0.0.1:8080/", timeout=DEADLINE) as page:
                    assert b"<title>Console" in page.read()
    else:
        check = OTHERS[command]
        if command == "ouistiti -t":
            there("/etc/ouistiti.conf").write_text(config)
        subprocess.run(shell(command), env=ENVIRONMENT, check=True, timeout=10 * DEADLINE)
        if check:
            exchange(*check)


def main():
    """Runs all of them in their order."""
    source = there(SOURCE)
    text = (source / "README.md").read_text()
    config = block(text, "in the format of libconfig:")
    (source / "hello.sh").write_text(block(text, "such as `hello.sh`:"))
    (source / "hello.sh").chmod(0o755)
    there("/www").mkdir()
    # The programs are built already, but for one, which `make` compiles and links there.
    (source / "utils/echo/src/main.rs").touch()
    threading.Thread(target=serve_tcp, daemon=True).start()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    commands = [re.split(r"\s+# ", line)[0].strip() for block in blocks for line in block.splitlines()]
    for command in commands:
        if command == "ouistiti -l 8080 -b ./my.sock":
            for directory, name in ((".", "my.sock"), ("run", "echo")):
                echo = f"websocket_echo -R {directory} -n {name} -D"
                subprocess.run(shell(echo), env=ENVIRONMENT, check=True)
        if command.startswith("LD_PRELOAD"):
            direct = config.replace('ouistiti"; };', 'ouistiti"; options = "direct"; };')
            assert direct != config
            there("/etc/ouistiti.conf").write_text(direct)
            subprocess.run(shell("ouistiti -D"), env=ENVIRONMENT, check=True)
        run(command, config)
    unused = (set(SERVERS) | set(OTHERS)) - set(commands)
    assert not unused, f"not in the README any more: {unused}"


main()
