"""wss:// and https:// as other people's programs see them."""

import signal
import socket
import ssl
import subprocess
import time

import pytest
from playwright.sync_api import expect

import test_autobahn
from authority import Authority, section
from chromium import chromium, new_page
from conftest import DEADLINE, free_address, wait_until

# KiB of proportional set size an idle wss connection may cost.
CONNECTION = 80
CONNECTIONS = 200

# Clients stuck in the handshake while a new one is served.
STUCK = 500

# "Hello" under the masking key 37 fa 21 3d (RFC 6455, section 5.7), and its echo.
HELLO = bytes.fromhex("818537fa213d7f9f4d5158")
ECHO = b"\x81\x05Hello"


@pytest.fixture
def authority(tmp_path):
    """A certificate authority of the test's own."""
    return Authority(tmp_path / "ca")


@pytest.fixture
def secure(site, authority):
    """A site not yet started, with a certificate for its address and an echo server."""
    site.pair = authority.issue("gateway", f"IP:{site.host},DNS:gateway.test")
    site.backend("echo", "-m", str(STUCK))
    return site


def connect(site, context):
    """A TLS client."""
    plain = socket.create_connection((site.host, site.port), timeout=DEADLINE)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname=site.host)


def open_client(site, context):
    """A TLS client past its upgrade to the echo service."""
    client = connect(site, context)
    client.sendall(
        f"GET /echo HTTP/1.1\r\nHost: {site.host}:{site.port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = take(client, 12)
    while not head.endswith(b"\r\n\r\n"):
        head += take(client, 1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return client


def take(client, count):
    """Exactly the next `count` bytes."""
    got = b""
    while len(got) < count:
        piece = client.recv(count - len(got))
        assert piece, got
        got += piece
    return got


def exchange(client):
    """One message there and back."""
    client.sendall(HELLO)
    assert take(client, len(ECHO)) == ECHO


def s_client(site, authority, *options):
    """What openssl's client says of a connection that ends at once."""
    command = ["openssl", "s_client", "-connect", f"{site.host}:{site.port}",
               "-CAfile", authority.root, "-verify_return_error", *options]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE)
    return run.returncode, (run.stdout + run.stderr).decode(errors="replace")


def curl(site, authority, *options):
    """The status curl gets for a file; None when there is no connection."""
    command = ["curl", "--silent", "--max-time", str(DEADLINE), "--cacert", authority.root,
               "--output", "/dev/null", "--write-out", "%{http_code}", *options]
    run = subprocess.run([*command, site.url("console.html", "https")], capture_output=True, text=True)
    return int(run.stdout) if run.returncode == 0 else None


def test_every_autobahn_case_is_ok_over_wss(secure, authority, out):
    secure.start(server=section(secure.pair), websocket='framing = "length"; maxmessage = 16777216;')
    gateway = f"OPENSSL:{secure.host}:{secure.port}"
    host, port = free_address()
    # The suite's client has no TLS: socat gives it some, and checks the certificate.
    socat = subprocess.Popen(
        ["socat", f"TCP-LISTEN:{port},bind={host},fork,reuseaddr,nodelay",
         f"{gateway},cafile={authority.root},commonname=gateway.test,nodelay"])
    secure.processes.append(socat)
    wait_until("socat to listen", lambda: listens(host, port))
    secure.url = lambda name: f"ws://{host}:{port}/{name}"
    excluded = ["12.*", "13.*"]
    results = test_autobahn.run(secure, out / "autobahn-wss", [], excluded)
    assert len(results) == test_autobahn.CASES
    bad = [case for case, result in results.items() if not test_autobahn.is_good(case, result)]
    if bad:  # some cases have timers of their own, and machines are busy
        again = test_autobahn.run(secure, out / "autobahn-wss-again", bad, [])
        bad = {case: result for case, result in again.items()
               if not test_autobahn.is_good(case, result)}
    print(f"autobahn wss: {len(results) - len(bad)} of {len(results)} as they should be")
    assert not bad


def listens(host, port):
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def test_chromium_talks_to_its_own_origin_over_wss(secure, authority):
    certificate, _ = secure.pair
    certificate.write_text(certificate.read_text() + authority.root.read_text())  # the whole chain
    secure.start(server=section(secure.pair))
    trust = f"--ignore-certificate-errors-spki-list={authority.key_hash()}"
    with chromium(trust) as browser:
        page = new_page(browser)
        page.goto(secure.url("console.html", "https"))
        page.fill("#name", "echo")
        page.click("#connect")
        expect(page.locator("#state")).to_have_attribute("data-state", "open")
        received = page.locator("#log li[data-kind=received]").first
        page.fill("#text", "router 🐒 déjà €")
        page.click("#send")
        expect(received).to_contain_text("router 🐒 déjà €")
        page.click("summary")
        page.click("#sendlarge")
        expect(received).to_have_attribute("data-bytes", str(1 << 20))
        expect(received).to_have_attribute("data-same", "yes")


def test_openssl_and_curl_agree_to_versions_chain_and_protocol(secure, authority):
    secure.start(server=section(secure.pair))
    for version, name in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")]:
        code, text = s_client(secure, authority, version, "-alpn", "h2,http/1.1")
        assert code == 0 and name in text, text
        assert "Verify return code: 0 (ok)" in text, text
        assert "ALPN protocol: http/1.1" in text, text
    for version in ["-tls1", "-tls1_1"]:
        code, text = s_client(secure, authority, version, "-cipher", "DEFAULT:@SECLEVEL=0")
        assert code != 0, text
    assert curl(secure, authority) == 200
    assert curl(secure, authority, "--tls-max", "1.2") == 200


def test_openssl_resumes_its_session(secure, authority, tmp_path):
    secure.start(server=section(secure.pair))
    kept = tmp_path / "session"
    code, text = s_client(secure, authority, "-tls1_2", "-sess_out", kept)
    assert code == 0 and "\nNew, TLSv1.2" in text, text
    code, text = s_client(secure, authority, "-tls1_2", "-sess_in", kept)
    assert code == 0 and "\nReused, TLSv1.2" in text, text


def test_the_name_asked_for_chooses_the_certificate(secure, authority):
    other = authority.issue("other", "DNS:*.other.test")
    secure.start(server=section(secure.pair, other))
    for name, subject in [("a.other.test", "other"), ("gateway.test", "gateway"), ("c.test", "gateway")]:
        code, text = s_client(secure, authority, "-servername", name)
        assert code == 0 and f"subject=CN = {subject}" in text, text


def test_client_certificates_none_right_wrong_and_expired(secure, authority, tmp_path):
    stranger = Authority(tmp_path / "stranger")
    shown = {
        "none": [],
        "right": authority.issue("alice", "DNS:alice.test"),
        "wrong": stranger.issue("eve", "DNS:eve.test"),
        "expired": authority.issue("old", "DNS:old.test", end="20210101000000Z"),
    }
    for name in shown:
        shown[name] = [word for pair in zip(["--cert", "--key"], shown[name]) for word in pair]
    more = f'cachain = "{authority.root}"; clientauth = "required";'
    secure.start(server=section(secure.pair, more=more))
    answers = {name: curl(secure, authority, *options) for name, options in shown.items()}
    assert answers == {"none": None, "right": 200, "wrong": None, "expired": None}
    secure.gateway.terminate()
    secure.gateway.wait(timeout=DEADLINE)
    more = f'cachain = "{authority.root}"; clientauth = "optional";'
    secure.start(server=section(secure.pair, more=more))
    answers = {name: curl(secure, authority, *options) for name, options in shown.items()}
    assert answers == {"none": 200, "right": 200, "wrong": None, "expired": None}


def test_certificates_are_renewed_under_open_connections(secure, authority):
    secure.start(server=section(secure.pair))
    context = authority.context()
    clients = [open_client(secure, context) for _ in range(50)]
    old = clients[0].getpeercert(binary_form=True)
    shown = old
    authority.issue("gateway", f"IP:{secure.host}")
    secure.gateway.send_signal(signal.SIGHUP)
    end = time.monotonic() + DEADLINE
    while shown == old:  # each of these must be served, whichever certificate it sees
        assert time.monotonic() < end
        with open_client(secure, context) as newcomer:
            exchange(newcomer)
            shown = newcomer.getpeercert(binary_form=True)
    secure.pair[0].write_text("half written")
    secure.gateway.send_signal(signal.SIGHUP)
    wait_until("the new file to be refused",
               lambda: any("the old certificates stay" in line for line in list(secure.log)))
    for _ in range(20):
        with open_client(secure, context) as newcomer:
            exchange(newcomer)
            assert newcomer.getpeercert(binary_form=True) == shown
    for client in clients:
        exchange(client)
        client.close()


def test_clients_stuck_in_the_handshake_delay_nobody(secure, authority, figure):
    secure.start(server=section(secure.pair) + " maxclients = 600; keepalivetimeout = 3600;")
    stuck = []
    for number in range(STUCK):
        client = socket.create_connection((secure.host, secure.port), timeout=DEADLINE)
        client.sendall(b"\x16\x03\x01\x02\x00\x01"[: number % 7])
        stuck.append(client)
    start = time.monotonic()
    with open_client(secure, authority.context()) as client:
        exchange(client)
    took = time.monotonic() - start
    figure(f"served in {took:.3f} s beside {STUCK} half handshakes, PSS {secure.pss()} KiB")
    # It was not served in the place of one of them.
    for client in stuck:
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        client.close()


def test_an_idle_wss_connection_is_small(secure, authority):
    secure.start(server=section(secure.pair) + f" maxclients = {CONNECTIONS + 10};",
                 websocket="ping = 3600;")
    context = authority.context()
    open_client(secure, context).close()
    idle = secure.pss()
    clients = [open_client(secure, context) for _ in range(CONNECTIONS)]
    quiet = (secure.pss() - idle) / CONNECTIONS
    for client in clients:
        exchange(client)
    used = (secure.pss() - idle) / CONNECTIONS
    print(f"idle daemon {idle} KiB PSS; a wss connection {quiet:.1f} KiB, once used {used:.1f} KiB")
    for client in clients:
        client.close()
    assert quiet <= CONNECTION
    assert used <= CONNECTION


def test_close_notify_comes_before_the_end(secure, authority):
    secure.start(server=section(secure.pair))
    with open_client(secure, authority.context()) as client:
        client.suppress_ragged_eofs = False  # a missing close_notify is an error then
        client.sendall(bytes.fromhex("8882 00000000 03e8"))
        assert take(client, 4) == b"\x88\x02\x03\xe8"
        assert client.recv(1) == b""


def test_plain_http_gets_an_answer_to_read(secure):
    secure.start(server=section(secure.pair))
    with socket.create_connection((secure.host, secure.port), timeout=DEADLINE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while piece := client.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400 ") and b"https" in answer, answer


def test_a_context_without_the_root_refuses(secure):
    secure.start(server=section(secure.pair))
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(secure, ssl.create_default_context())


# Makes the program start on 1 January 1970, as a router without a battery does.
EPOCH = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static time_t start;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && clock == CLOCK_REALTIME) {
        if (start == 0)
            start = now->tv_sec;
        now->tv_sec -= start;
    }
    return result;
}
"""


def test_a_router_that_wakes_up_in_1970_serves_also_client_certificates(
    secure, authority, tmp_path, monkeypatch
):
    source, library = tmp_path / "epoch.c", tmp_path / "epoch.so"
    source.write_text(EPOCH)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    alice = authority.issue("alice", "DNS:alice.test")
    with monkeypatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(library))
        more = f'cachain = "{authority.root}"; clientauth = "required";'
        secure.start(server=section(secure.pair, more=more))
    assert curl(secure, authority, "--cert", alice[0], "--key", alice[1]) == 200
    assert curl(secure, authority) is None
