"""Direct mode: the gateway hands the client over, and libwebsocket speaks frames."""

import contextlib
import json
import os
import pathlib
import subprocess

import pytest

from conftest import DEADLINE, LIBRARY, RELEASE, ROOT, connect, listens, wait_until
from test_autobahn import CASES, EMPTY, LONG, is_good, run

SERVERS = ROOT / "utils" / "libwebsocket" / "tests" / "servers"

# A text that goes wrong before it ends. A server that waits with poll or epoll is not woken
# for half a message, so this one's bytes are looked at when its end has come; RFC 6455,
# section 8.1, asks for no more, and Autobahn calls that NON-STRICT.
FAIL_FAST = {"6.4.1", "6.4.2", "6.4.3", "6.4.4"}


@pytest.fixture(scope="module")
def message_echo():
    """The complete example server of the Rust API."""
    subprocess.run(["cargo", "build", "--quiet", "--release", "--package", "libwebsocket",
                    "--example", "message_echo"], cwd=ROOT, check=True)
    return RELEASE / "examples" / "message_echo"


def is_watched_only(site, before, clients):
    """Whether all that the gateway keeps is the UNIX connection over which each client went: by it
    the log learns of the client's end."""
    return sockets(site.gateway.pid) == before + clients


def sockets(pid):
    """How many sockets a process holds (proc(5))."""
    count = 0
    for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += os.readlink(link).startswith("socket:")
        except FileNotFoundError:
            pass
    return count


def echo(site, path, message):
    """What comes back for a message from the service at `path`, whole."""
    with connect(site.url(path)) as client:
        client.send(message)
        return client.recv(timeout=DEADLINE)


def test_the_gateway_keeps_nothing_of_a_client_handed_over(site):
    site.serve("direct", "echo")
    before = sockets(site.gateway.pid)
    with connect(site.url("echo"), max_size=None) as client:
        for message in ["Hello", "é € 🐒", "x" * 20_000, b"\0\xff" * 30_000]:
            client.send(message)
            assert client.recv(timeout=DEADLINE) == message
        assert client.ping("still there").wait(DEADLINE)
        wait_until("the gateway to let go", lambda: is_watched_only(site, before, 1))
    assert client.close_code == 1000
    wait_until("the end of the client to be seen", lambda: sockets(site.gateway.pid) == before)


def test_fifty_clients_are_handed_over_and_none_is_kept(site):
    site.serve("direct", "echo")
    before = sockets(site.gateway.pid)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(site.url("echo"))) for _ in range(50)]
        for number, client in enumerate(clients):
            client.send(f"client {number}")
        for number, client in enumerate(clients):
            assert client.recv(timeout=DEADLINE) == f"client {number}"
        wait_until("the gateway to let go", lambda: is_watched_only(site, before, 50))
    wait_until("their ends to be seen", lambda: sockets(site.gateway.pid) == before)
    assert [client.close_code for client in clients] == [1000] * 50


def greet(**clients):
    """Waits until the chat knows these clients by their names."""
    for name, client in clients.items():
        client.send(f"WSHello {name}")
        assert client.recv(timeout=DEADLINE) == f"WSWelcome {name}"


def test_a_chat_tells_a_direct_clients_own_address(site):
    site.serve("direct", "chat", "-w", program="websocket_chat")
    with connect(site.url("chat")) as ann, connect(site.url("chat")) as bob:
        greet(ann=ann, bob=bob)
        ann.send("WSWhois bob")
        assert ann.recv(timeout=DEADLINE) == f"WSIs bob {bob.local_address[0]}"
        ann.send("WSPrivate bob psst")
        assert bob.recv(timeout=DEADLINE) == "psst"
        bob.send("to all, é")
        assert ann.recv(timeout=DEADLINE) == "to all, é"


def test_a_server_that_expects_proxy_headers_serves_direct_clients_without(site):
    site.serve("direct", "chat", "-w", "-P", program="websocket_chat")
    for number in range(20):
        with connect(site.url("chat")) as client:
            greet(**{f"client{number}": client})
            client.send(f"WSWhois client{number}")
            answer = f"WSIs client{number} {client.local_address[0]}"
            assert client.recv(timeout=DEADLINE) == answer


def test_a_direct_client_is_reached_in_the_middle_of_its_own_message(site):
    site.serve("direct", "chat", "-w", program="websocket_chat")
    with connect(site.url("chat")) as ann, connect(site.url("chat")) as bob:
        greet(ann=ann, bob=bob)

        def fragments():
            yield "half "
            ann.send("meanwhile")
            assert bob.recv(timeout=DEADLINE) == "meanwhile"
            assert bob.ping("and").wait(DEADLINE)
            yield "a message"

        bob.send(fragments())
        assert ann.recv(timeout=DEADLINE) == "half a message"


def test_jsonrpc_answers_a_direct_client_with_or_without_nul(site, tmp_path):
    options = ["-L", RELEASE / "libjsonsql.so", "-C", tmp_path / "db"]
    site.serve("direct", "sql", *options, program="websocket_jsonrpc")
    request = '{"jsonrpc": "2.0", "id": 1, "method": "list"}'
    with connect(site.url("sql")) as client:
        client.send(request)
        answer = client.recv(timeout=DEADLINE)
        assert json.loads(answer)["id"] == 1
        # There is no framing but the messages': a NUL is the client's own, and comes back.
        client.send(request + "\0")
        assert client.recv(timeout=DEADLINE) == answer + "\0"
        # A request in fragments is read whole, and several that come together one by one.
        client.send(iter([request[:9], request[9:20], request[20:]]))
        assert client.recv(timeout=DEADLINE) == answer
        for _ in range(3):
            client.send(request)
        assert [client.recv(timeout=DEADLINE) for _ in range(3)] == [answer] * 3
        client.send("[" + ", ".join([request] * 3) + "]")
        assert len(json.loads(client.recv(timeout=DEADLINE))) == 3


def test_a_linked_server_speaks_frames_as_a_preloaded_one(site, tmp_path):
    # Its name at run time, as it is installed.
    (tmp_path / "libwebsocket.so.0").symlink_to(LIBRARY)
    program = compiled(tmp_path, "thread", f"-L{LIBRARY.parent}", "-lwebsocket",
                       f"-Wl,-rpath,{tmp_path}")
    serve(site, [program])
    assert echo(site, "echo", "linked, not preloaded") == "linked, not preloaded"


def compiled(directory, name, *flags):
    """A server of libwebsocket's own tests, with room for 64 KiB a read."""
    program = directory / name
    subprocess.run(["cc", "-O2", "-DBUFFER=65536", "-pthread", "-o", program,
                    SERVERS / f"{name}.c", *flags], check=True)
    return program


def serve(site, command, **environment):
    """Starts a server that takes its socket's path, and the gateway in direct mode."""
    path = site.run / "echo"
    site.processes.append(subprocess.Popen([command[0], path, *command[1:]],
                                           stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                           env={**os.environ, **environment}))
    wait_until("the server to listen", lambda: listens(path))
    site.start(websocket='options = "direct";')


def bad_cases(site, report, excluded, is_good):
    """Runs all cases but those excluded; those that fail twice, and how many there are."""
    results = run(site, report, [], ["12.*", "13.*", *excluded])
    bad = [case for case, result in results.items() if not is_good(case, result)]
    # Once more for each: some cases have timers of their own, and machines are busy.
    if bad:
        again = run(site, report.with_name(report.name + "-again"), bad, [])
        bad = [case for case, result in again.items() if not is_good(case, result)]
    return bad, len(results)


@pytest.mark.parametrize(
    ("name", "lenient"),
    [("websocket_echo", ()), ("thread", ()), ("poll", FAIL_FAST), ("epoll", FAIL_FAST)],
)
def test_every_case_of_a_stream_is_ok_with_an_unmodified_server(
    site, out, figure, tmp_path, name, lenient
):
    if name == "websocket_echo":
        site.serve("direct", "echo")
    else:
        serve(site, [compiled(tmp_path, name)], LD_PRELOAD=str(LIBRARY))

    def is_ok(case, result):
        if case in lenient and result["behavior"] == "NON-STRICT":
            return is_good(case, {**result, "behavior": "OK"})
        return is_good(case, result)

    report = out / f"autobahn-direct-{name}"
    bad, count = bad_cases(site, report, EMPTY + list(LONG), is_ok)
    assert count == CASES - len(EMPTY) - sum(LONG.values())
    figure(f"Autobahn, direct, {name}: {count - len(bad)} of {count} as they should be")
    assert not bad


def test_every_case_is_ok_with_the_explicit_api(site, out, figure, message_echo):
    serve(site, [message_echo])
    bad, count = bad_cases(site, out / "autobahn-direct", [], is_good)
    assert count == CASES
    figure(f"Autobahn, direct, explicit API: {count - len(bad)} of {count} as they should be")
    assert not bad
