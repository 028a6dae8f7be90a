"""The recipes of etc/ with their real programs: each file as it is, but for addresses and paths."""

import contextlib
import os
import pathlib
import re
import select
import shutil
import socket
import subprocess
import sys
import tty

import pytest
from websockets.exceptions import InvalidStatus

from authority import Authority
from chromium import chromium, new_page
from conftest import DEADLINE, LIBRARY, ROOT, connect, free_address, wait_until
from test_preloaded import NOISE, database, greet, program, query, stream, takes_logins

# What these tests need of Debian (tests/setup has the list of all).
DEBIAN_PACKAGES = ["caddy", "haproxy", "mosquitto", "nginx-light", "node-mqtt", "nodejs", "novnc",
                   "openssh-server", "postgresql", "python3-paho-mqtt",
                   "tigervnc-standalone-server"]

CLIENTS = pathlib.Path(__file__).parent / "clients"
NOVNC = pathlib.Path("/usr/share/novnc")


def recipe(name, *changes):
    """A file of etc/ with these changes, and as the user of the test."""
    text = (ROOT / "etc" / name).read_text()
    for old, new in changes:
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    # A test is not always root's, and nobody may not enter its directory.
    return text.replace('user = "nobody";\n', "")


def comment(name, first, last):
    """The lines of a recipe's comment from one to another, as they would be pasted."""
    text = (ROOT / "etc" / name).read_text()
    lines = [line.removeprefix("#").removeprefix("   ") for line in text.splitlines()
             if line.startswith("#")]
    begin = next(at for at, line in enumerate(lines) if line.startswith(first))
    end = next(at for at, line in enumerate(lines) if at >= begin and line.startswith(last))
    return "\n".join(lines[begin:end + 1])


def here(site):
    """The setting of an address in a recipe that has none."""
    return ("servers = ({", f'servers = ({{\n    addr = "{site.host}"; port = {site.port};')


def run(site, name, command, **options):
    """Starts a program of others, its output in NAME.log; returns that file."""
    log = site.directory / f"{name}.log"
    with log.open("w") as output:
        site.processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                               stderr=output, **options))
    return log


def is_open(host, port):
    """Whether somebody listens there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), DEADLINE):
        return True
    return False


def listening(site, name, command, address, **options):
    """The same, once the program listens."""
    log = run(site, name, command, **options)
    process = site.processes[-1]
    wait_until(f"{name} to listen", lambda: is_open(*address) or process.poll() is not None)
    assert process.poll() is None, log.read_text()


def echoes(url, **options):
    """Sends a text by way of this address, and gets it back."""
    with connect(url, compression=None, **options) as client:
        client.send("Hello")
        assert client.recv(timeout=DEADLINE) == "Hello"


@pytest.fixture(scope="module")
def browser():
    """One headless Chromium for all tests."""
    with chromium() as browser:
        yield browser


def hear(terminal, words):
    """Reads what comes to a terminal until these words are there."""
    heard = b""
    while words not in heard:
        assert select.select([terminal], [], [], DEADLINE)[0], heard
        heard += os.read(terminal, 100)


def screen(site, browser):
    """The size of the screen that noVNC shows."""
    page = new_page(browser)
    page.goto(f"{site.url('vnc.html', 'http')}?path=vnc&autoconnect=true")
    page.wait_for_selector("html.noVNC_connected")
    canvas = "(c => c && [c.width, c.height])(document.querySelector('#noVNC_container canvas'))"
    # Without a picture it is 300 pixels wide.
    wait_until("a picture", lambda: (page.evaluate(canvas) or [0])[0] > 300)
    size = page.evaluate(canvas)
    page.close()
    return size


def xvnc(site, *options, **more):
    """Starts Xtigervnc on a display that is free."""
    command = [program("Xtigervnc"), "-displayfd", "1", "-SecurityTypes", "None", "-geometry",
               "640x400", "-depth", "24", *options]
    log = run(site, "xvnc", command, **more)
    process = site.processes[-1]
    ready = lambda: re.search(r"^\d+$", log.read_text(), re.M) or process.poll() is not None
    wait_until("Xtigervnc to be ready", ready)
    assert process.poll() is None, log.read_text()


@pytest.mark.skipif(not NOVNC.exists(), reason="no novnc: make check-programs installs it")
@pytest.mark.parametrize("frametype", ["as in the file", "auto"])
def test_vnc(site, browser, frametype):
    host, port = free_address()
    xvnc(site, "-rfbport", str(port), "-interface", host)
    text = recipe("vnc.conf", here(site), ('"127.0.0.1"', f'"{host}"'), ("5900", str(port)))
    if frametype == "auto":
        text = text.replace('frametype = "binary";', "")
    site.launch(text)
    assert screen(site, browser) == [640, 400]


@pytest.mark.skipif(not NOVNC.exists(), reason="no novnc: make check-programs installs it")
def test_vnc_in_direct_mode(site, browser):
    path = site.run / "vnc"
    xvnc(site, "-rfbunixpath", path, "-rfbport", "-1",
         env={**os.environ, "LD_PRELOAD": str(LIBRARY)})
    wait_until("a socket", path.is_socket)
    site.pages = NOVNC
    site.start(websocket='options = "direct";')
    assert screen(site, browser) == [640, 400]


def test_mqtt(site):
    host, port = free_address()
    conf = site.directory / "mosquitto.conf"
    conf.write_text(f"allow_anonymous true\nlistener {port} {host}\n")
    listening(site, "mosquitto", [program("mosquitto"), "-c", conf], (host, port))
    site.launch(recipe("mqtt.conf", ("servers = ({", f'servers = ({{\n    addr = "{site.host}";'),
                       ("port = 9001;", f"port = {site.port};"), ('"127.0.0.1"', f'"{host}"'),
                       ("1883", str(port))))
    clients = [
        ([program("node"), CLIENTS / "mqtt.js", site.url("mqtt")], "from MQTT.js"),
        (["/usr/bin/python3", CLIENTS / "mqtt.py", site.host, str(site.port)], "from paho"),
    ]
    environment = {**os.environ, "NODE_PATH": "/usr/share/nodejs", "PYTHONDONTWRITEBYTECODE": "1"}
    for command, wanted in clients:
        done = subprocess.run(command, env=environment, capture_output=True, text=True,
                              timeout=DEADLINE, check=False)
        missing = "Cannot find module 'mqtt'" in done.stderr or "No module named 'paho'" in done.stderr
        if missing:
            pytest.skip(f"{command[1].name}: no such library; make check-programs installs it")
        assert done.stdout == f"a/b {wanted}\n", done


def test_postgresql(site):
    with database(site) as (command, directory, user):
        path = pathlib.Path(directory) / ".s.PGSQL.5432"
        run(site, "postgres", command, user=user, extra_groups=[] if user else None, cwd=directory)
        wait_until("postgres to listen", path.is_socket)
        site.launch(recipe("postgresql.conf", here(site),
                           ("/var/run/postgresql/.s.PGSQL.5432", str(path))))
        wait_until("postgres to serve", lambda: takes_logins(site, "db"))
        with stream(site, "db") as client:
            greet(client)
            assert query(client, "select 6 * 7") == [b"42"]
            assert query(client, "select repeat('x', 300000)") == [b"x" * 300_000]
        site.stop()


def test_ssh(site):
    server = program("sshd")
    keys = site.directory / "keys"
    keys.mkdir(mode=0o700)
    for name in ("host", "own"):
        subprocess.run([program("ssh-keygen"), "-q", "-N", "", "-t", "ed25519", "-f", keys / name],
                       check=True)
    host, port = free_address()
    conf = keys / "sshd_config"
    conf.write_text(f"""
        ListenAddress {host}:{port}\nHostKey {keys}/host\nPidFile none\nUsePAM no
        AuthorizedKeysFile {keys}/own.pub\nStrictModes no\nPermitRootLogin yes\n""")
    if os.getuid() == 0:
        # Debian makes it at boot; a container has not booted.
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    listening(site, "sshd", [server, "-D", "-e", "-f", conf], (host, port))
    authority = Authority(site.directory / "ca")
    certificate, key = authority.issue("gateway", f"IP:{site.host}")
    site.launch(recipe("ssh.conf", here(site), ('"127.0.0.1"', f'"{host}"'),
                       ("port = 22;", f"port = {port};"),
                       ("/etc/ouistiti/server.crt", str(certificate)),
                       ("/etc/ouistiti/server.key", str(key))))
    pipe = f"{sys.executable} {CLIENTS / 'pipe.py'} {site.url('ssh', 'wss')} {authority.root}"
    command = [program("ssh"), "-F", "none", "-i", keys / "own", "-o", f"ProxyCommand={pipe}",
               "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={keys}/known",
               "-o", "BatchMode=yes", "gateway", "cat; echo done"]
    done = subprocess.run(command, input=NOISE, capture_output=True, timeout=DEADLINE, check=False)
    assert done.stdout == NOISE + b"done\n", done.stderr


def test_a_serial_console(site):
    master, slave = os.openpty()
    tty.setraw(master)
    site.launch(recipe("serial-port.conf", here(site), ("/dev/ttyUSB0", os.ttyname(slave))))
    with connect(site.url("modem"), compression=None) as client:
        client.send("AT")
        hear(master, b"AT\r\n")
        os.write(master, b"O")
        os.write(master, b"K\r\nCONNECT\r\n")
        assert [client.recv(timeout=DEADLINE) for _ in range(2)] == ["OK", "CONNECT"]
    os.close(master)
    os.close(slave)


def test_a_development_server(site, browser):
    site.backend("chat")
    pages = site.directory / "pages"
    pages.mkdir()
    (pages / "index.html").write_text("<title>in the making</title>")
    _, port = free_address()
    command = [sys.executable, "-m", "http.server", "-b", "127.0.0.1", "-d", pages, str(port)]
    listening(site, "http.server", command, ("127.0.0.1", port))
    site.host = "127.0.0.1"
    site.launch(recipe("dev-server.conf", ("127.0.0.1:8080", f"127.0.0.1:{site.port}"),
                       ("/var/run/ouistiti", str(site.run))))
    page = new_page(browser)
    page.goto(f"http://localhost:{port}/")
    heard = page.evaluate("""url => new Promise((done, failed) => {
        const socket = new WebSocket(url);
        socket.onopen = () => socket.send("Hello");
        socket.onmessage = event => done(event.data);
        socket.onclose = event => failed(event.code);
    })""", f"ws://localhost:{site.port}/chat")
    assert heard == "Hello"
    page.close()


def test_behind_nginx(site):
    site.backend("chat")
    path = site.directory / "o.sock"
    front = free_address()
    site.host, site.port = "unix", path
    site.launch(recipe("behind-nginx.conf", ("/run/ouistiti.sock", str(path)),
                       ("/var/run/ouistiti", str(site.run)),
                       ('"www.example.org"', f'"{front[0]}"')))
    location = comment("behind-nginx.conf", "location", "}").replace("/run/ouistiti.sock", str(path))
    conf = site.directory / "nginx.conf"
    conf.write_text(f"""
        daemon off; error_log stderr; pid {site.directory}/pid;
        events {{ worker_connections 64; }}
        http {{
            access_log off;
            server {{
                listen {front[0]}:{front[1]};
                {location}
                location /old/ {{ proxy_pass http://unix:{path}:/; }}
            }}
        }}
    """)
    command = [program("nginx"), "-e", "stderr", "-c", conf]
    if os.getuid() == 0:
        command += ["-g", "user root;"]
    listening(site, "nginx", command, front)
    base = f"{front[0]}:{front[1]}"
    echoes(f"ws://{base}/ws/chat", origin=f"http://{base}")
    # The log names the client, not the proxy's socket.
    wait_until("the client's line", lambda: any("127." in line and "chat: 1000" in line
                                                for line in list(site.log)))
    # Without proxy_http_version nginx speaks HTTP/1.0, and the answer names the cure.
    with pytest.raises(InvalidStatus) as refused:
        echoes(f"ws://{base}/old/chat")
    assert refused.value.response.status_code == 426
    assert b"proxy_http_version 1.1" in refused.value.response.body


def test_behind_haproxy_with_a_health_check(site):
    site.backend("chat")
    front = free_address()
    site.launch(recipe("behind-haproxy.conf", ("127.0.0.1:8080", f"{site.host}:{site.port}"),
                       ('trusted = "127.0.0.1"', 'trusted = "127.0.0.0/8"'),
                       ("/var/run/ouistiti", str(site.run)),
                       ('"www.example.org"', f'"{front[0]}"')))
    state = site.directory / "state"
    text = comment("behind-haproxy.conf", "frontend", "    server gateway")
    for old, new in [(":443 ssl crt /etc/haproxy/site.pem", f"{front[0]}:{front[1]}"),
                     ("server gateway 127.0.0.1:8080",
                      f"option httpchk\n    server gateway {site.host}:{site.port} check inter 100")]:
        assert old in text, text
        text = text.replace(old, new)
    conf = site.directory / "haproxy.cfg"
    conf.write_text(f"""global\n    stats socket {state}
defaults\n    timeout connect 60s\n    timeout client 60s\n    timeout server 60s\n{text}\n""")
    listening(site, "haproxy", [program("haproxy"), "-db", "-f", conf], front)

    def health():
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(state))
            asking.sendall(b"show stat\n")
            answer = b"".join(iter(lambda: asking.recv(1 << 16), b"")).decode()
        line = next(line for line in answer.splitlines() if line.startswith("websocket,gateway,"))
        return ",L7OK,204," in line and ",UP," in line

    wait_until("a good health check", health)
    base = f"{front[0]}:{front[1]}"
    echoes(f"ws://{base}/ws/chat", origin=f"http://{base}")


def test_behind_caddy(site):
    site.backend("chat")
    front = free_address()
    site.launch(recipe("behind-caddy.conf", ("127.0.0.1:8080", f"{site.host}:{site.port}"),
                       ('trusted = "127.0.0.1"', 'trusted = "127.0.0.0/8"'),
                       ("/var/run/ouistiti", str(site.run)),
                       ('"www.example.org"', f'"{front[0]}"')))
    text = comment("behind-caddy.conf", "www.example.org", "}")
    base = f"{front[0]}:{front[1]}"
    for old, new in [("www.example.org {", f"http://{base} {{"),
                     ("127.0.0.1:8080", f"{site.host}:{site.port}"),
                     ("/srv/www/htdocs", str(site.pages))]:
        assert old in text, text
        text = text.replace(old, new)
    conf = site.directory / "Caddyfile"
    conf.write_text(f"{{\n    admin off\n    auto_https off\n}}\n{text}\n")
    listening(site, "caddy", [program("caddy"), "run", "--adapter", "caddyfile", "--config", conf],
              front, env={**os.environ, "HOME": str(site.directory)})
    echoes(f"ws://{base}/ws/chat", origin=f"http://{base}")
