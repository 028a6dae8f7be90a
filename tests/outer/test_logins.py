"""Logins of each type, with clients that others wrote: browsers, curl, Python."""

import base64
import concurrent.futures
import http.client
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from playwright.sync_api import Error, expect
from websockets.exceptions import InvalidStatus

import logins
from chromium import chromium, new_page
from conftest import DEADLINE, ROOT, connect, free_address, wait_until
from firefox import Firefox
from logins import ALL_KINDS, BASIC, KINDS, PASSWORD, TOKEN, USER

# What the service calls the user. It may not have heard yet that the page before is gone, whose name
# is taken then (websocket_chat(1)).
KNOWN = re.compile(rf"^{USER}(\d{{3}})?$")


@pytest.fixture(params=KINDS)
def guarded(request, site):
    """A site with a login of each type."""
    with logins.login(request.param, site):
        yield site


@pytest.fixture(params=ALL_KINDS)
def guarded_by_all(request, site):
    """A site with a login of every type there is."""
    with logins.login(request.param, site):
        yield site


@pytest.fixture(scope="module")
def browser():
    """One headless Chromium for all tests."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def window(browser):
    """A window that knows no login yet."""
    page = new_page(browser)
    yield page
    page.close()


def members(site, user=USER, password=PASSWORD):
    """The address of the members' page, for a browser that asks nobody."""
    password = password.replace(":", "%3A").replace("é", "%C3%A9")
    return f"http://{user}:{password}@{site.host}:{site.port}/members.html"


def status(site, path="members.html", authorization=None, source=""):
    """The status of a page, and the answer's headers."""
    connection = http.client.HTTPConnection(
        site.host, site.port, timeout=DEADLINE, source_address=(source, 0) if source else None)
    connection.request("GET", f"/{path}", headers={"Authorization": authorization} if authorization else {})
    answer = connection.getresponse()
    connection.close()
    return answer.status, answer.headers


def basic(user, password):
    """The header for a user and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_chromium_logs_in_once_for_a_page_and_its_websocket_and_signs_out(guarded, window):
    window.goto(members(guarded))
    expect(window.locator("#whoami")).to_have_text(USER)
    # From now on without the password in the address.
    window.goto(guarded.url("members.html", "http"))
    expect(window.locator("#whoami")).to_have_text(KNOWN)
    expect(window.locator("#signin")).to_be_hidden()
    window.click("#signout")
    expect(window.locator("#signout")).to_have_text("Signed out")
    expect(window.locator("#whoami")).to_have_text("nobody")
    expect(window.locator("#signin")).to_have_attribute("href", "members.html")
    expect(window.locator("#signin")).to_be_visible()
    # It asks for a password again, which nobody types.
    with pytest.raises(Error, match="ERR_INVALID_AUTH_CREDENTIALS"):
        window.goto(guarded.url("members.html", "http"))
    again(window, members(guarded))
    expect(window.locator("#whoami")).to_have_text(KNOWN)


def again(window, url):
    """Goes to a page; Chromium may still be on its way to the page that tells of an error."""
    def arrives():
        try:
            return window.goto(url)
        except Error as error:
            if "interrupted by another navigation" not in str(error):
                raise
            return False

    wait_until("the page", arrives)


def test_firefox_logs_in_once_for_a_page_and_its_websocket_and_signs_out(guarded, tmp_path):
    firefox = Firefox(tmp_path)
    try:
        firefox.answer_logins(USER, PASSWORD)
        page = firefox.open(guarded.url("members.html", "http"))
        page.wait_for_text("#whoami", USER)
        # A person is asked once, not again for scripts, the WebSocket and the next visit.
        page.call("browsingContext.navigate", url=guarded.url("members.html?2", "http"), wait="complete")
        page.wait_for_text("#whoami", USER)
        assert len(firefox.asked) == 1, firefox.asked
        page.click("#signout")
        page.wait_for_text("#signout", "Signed out")
        assert len(firefox.asked) == 1, firefox.asked
        firefox.answer_logins(None, None)
        assert page.evaluate("fetch('members.html').then(answer => answer.status)") == 401
        assert len(firefox.asked) == 2, firefox.asked
        assert not firefox.errors
    finally:
        firefox.stop()


def curl(site, *options):
    """The status that curl gets for the members' page, and its headers."""
    ann, page = site.ann, site.directory / "page"
    if ann.authority:
        options = ("--cacert", ann.authority.root, *options)
    command = ["curl", "-sS", "-o", page, "-D", "-", "-w", "%{http_code}", *options]
    run = subprocess.run([*command, site.url("members.html", ann.scheme("http"))],
                         capture_output=True, text=True, timeout=DEADLINE, check=True)
    head, _, code = run.stdout.rpartition("\n")
    return int(code), head


def test_curl_logs_in_with_each_type(guarded_by_all, request):
    site, kind = guarded_by_all, request.node.callspec.params["guarded_by_all"]
    right, wrong, refused = {
        "Bearer": (["-H", f"Authorization: Bearer {TOKEN}"], ["-H", "Authorization: Bearer no-token-of-ours"], 401),
        "certificate": (pair_of(site.ann), pair_of(getattr(site, "bob", None)), 403),
    }.get(kind, (["-u", f"{USER}:{PASSWORD}"], ["-u", f"{USER}:wrong"], 401))
    code, head = curl(site, *right)
    assert (code, "cache-control: private, no-cache" in head.lower()) == (200, True), head
    assert curl(site, *wrong)[0] == refused
    assert curl(site)[0] == refused
    if kind == "Bearer":
        for way in (["-b", f"access_token={TOKEN}"], ["-G", "-d", f"access_token={TOKEN}"]):
            assert curl(site, *way)[0] == 200
        assert TOKEN not in site.whole_log()


def pair_of(person):
    """curl's options for somebody's certificate."""
    return ["--cert", person.pair[0], "--key", person.pair[1]] if person and person.pair else []


def test_python_logs_in_with_each_type_and_the_service_knows_who_it_is(guarded_by_all):
    site, ann = guarded_by_all, guarded_by_all.ann
    url = site.url("members", ann.scheme("ws"))
    with connect(url, additional_headers=ann.headers, ssl=ann.context()) as client:
        client.send("WSHello")
        assert client.recv(timeout=DEADLINE) == f"WSWelcome {USER}"
    wait_until("the end in the log", lambda: f" members ({USER})" in "".join(site.log))
    with pytest.raises(InvalidStatus) as refused:
        connect(url, ssl=ann.context(with_pair=False))
    answer = refused.value.response
    assert answer.status_code == (403 if ann.authority else 401)
    asked = answer.headers.get("WWW-Authenticate", "")
    assert ann.authority or asked.split(" realm=")[0] == ann.headers["Authorization"].split()[0]
    # What `protect` does not list is for everybody.
    if not ann.authority:
        assert status(site, "console.html")[0] == 200


def test_browsers_log_in_with_a_token_in_a_cookie(site, window, tmp_path):
    with logins.login("Bearer", site):
        url = site.url("members.html", "http")
        assert window.goto(url).status == 401
        window.context.add_cookies([{"name": "access_token", "value": TOKEN, "url": url}])
        window.goto(url)
        expect(window.locator("#whoami")).to_have_text(USER)
        firefox = Firefox(tmp_path)
        try:
            value = {"type": "string", "value": TOKEN}
            cookie = {"name": "access_token", "value": value, "domain": site.host, "httpOnly": True}
            firefox.call("storage.setCookie", cookie=cookie)
            page = firefox.open(url)
            page.wait_for_text("#whoami", USER)
        finally:
            firefox.stop()
        assert TOKEN not in site.whole_log()


def test_chromium_logs_in_with_a_certificate(site, browser):
    with logins.login("certificate", site):
        url = site.url("members.html", "https")
        for person, wanted in ((site.ann, 200), (site.bob, 403)):
            certificate, key = map(str, person.pair)
            own = {"origin": url.removesuffix("/members.html"), "certPath": certificate, "keyPath": key}
            page = new_page(browser, ignore_https_errors=True, client_certificates=[own])
            assert page.goto(url).status == wanted
            if wanted == 200:
                expect(page.locator("#whoami")).to_have_text(USER)
            page.close()


def test_firefox_logs_in_with_a_certificate(site, tmp_path):
    with logins.login("certificate", site):
        site.ann.authority.introduce(site.ann.pair, tmp_path)
        firefox = Firefox(tmp_path)
        try:
            page = firefox.open(site.url("members.html", "https"))
            page.wait_for_text("#whoami", USER)
        finally:
            firefox.stop()


def test_a_user_made_on_the_page_comes_in_at_once_and_a_removed_one_does_not_come_back(site, window):
    logins.members(site)
    root = logins.authrpc(site)
    logins.start(site, f'type = "rpc"; address = "unix:{site.run}/auth";')
    bob = basic("bob", "builder")
    assert status(site, authorization=bob)[0] == 401
    window.goto(site.url("webauth.html", "http"))
    window.fill("#user", "admin")
    window.fill("#passwd", root)
    window.click("#auth")
    expect(window.locator("#whoami")).to_have_text("admin (root)")
    window.fill("#newuser", "bob")
    window.fill("#newpasswd", "builder")
    window.click("#adduser")
    expect(window.locator("#log li[data-method=adduser]")).to_contain_text("user added")
    assert status(site, authorization=bob)[0] == 200
    with connect(site.url("members"), additional_headers={"Authorization": bob}) as client:
        with logins.calling(site) as call:
            call("auth", user="admin", passwd=root)
            call("rmuser", user="bob")
        # A reload forgets what was right a moment ago.
        site.gateway.send_signal(signal.SIGHUP)
        wait_until("the reload", lambda: status(site, authorization=bob)[0] == 401)
        # Who is in stays.
        client.send("WSHello")
        assert client.recv(timeout=DEADLINE) == "WSWelcome bob"


def test_groups_of_authrpc_limit_who_comes_in(site):
    logins.members(site)
    root = logins.authrpc(site)
    logins.start(site, f'type = "rpc"; address = "unix:{site.run}/auth"; groups = "root";')
    logins.add_user(site, root, "bob", "x")
    assert status(site, authorization=basic("admin", root))[0] == 200
    assert status(site, authorization=basic("bob", "x"))[0] == 403


def test_twenty_guessing_addresses_do_not_keep_the_right_user_out(site, figure):
    logins.members(site)
    root = logins.authrpc(site)
    logins.start(site, f'type = "rpc"; address = "unix:{site.run}/auth";', addr=free_address()[0])
    logins.add_user(site, root, USER, PASSWORD)
    stop = []

    def guess(source):
        statuses = set()
        while not stop:
            statuses.add(status(site, authorization=basic(USER, f"guess {len(statuses)}"), source=source)[0])
        return statuses

    def come_in():
        start = time.monotonic()
        # One who is told to try again does, as a person would.
        wait_until("the right user", lambda: status(site, authorization=BASIC, source="127.9.9.9")[0] == 200)
        return time.monotonic() - start

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        guesses = [pool.submit(guess, f"127.8.{number}.1") for number in range(20)]
        try:
            wait_until("guesses", lambda: any(
                status(site, authorization=basic(USER, "x"), source=f"127.8.{n}.1")[0] == 429 for n in range(20)))
            took = come_in()
        finally:
            stop.append(True)
        for statuses in guesses:
            assert statuses.result(DEADLINE) <= {401, 429, 503}
    figure(f"the right user beside 20 guessing addresses: {took:.2f} s")


def run_recipe(site, name, replacements):
    """Starts the gateway with a file of etc/ in which these texts are replaced."""
    text = (ROOT / "etc" / name).read_text()
    text = text.replace('user = "nobody";', "")
    for old, new in {"/var/run/ouistiti": str(site.run), **replacements}.items():
        assert old in text, f"{name} has no {old}"
        text = text.replace(old, new)
    site.host = "127.0.0.1"
    return site.launch(text)


def test_the_recipe_of_a_file_of_users_works(site, tmp_path):
    """With the command that it names; openssl is given the password that it would ask for."""
    text = (ROOT / "etc" / "login-file.conf").read_text()
    asks = "openssl passwd -6"
    command = next(line for line in text.splitlines() if asks in line).lstrip("# ")
    assert command.replace('"', "\\(dq") in (ROOT / "man" / "ouistiti.8").read_text()
    users, pages = tmp_path / "users", tmp_path / "pages"
    command = command.replace(asks, f"{asks} secret").replace("/etc/ouistiti/users", str(users))
    subprocess.run(["sh", "-c", command], check=True, timeout=DEADLINE)
    assert users.stat().st_mode & 0o077 == 0
    (pages / "public").mkdir(parents=True)
    for page in ("index.html", "public/index.html"):
        (pages / page).write_text(page)
    site.backend("echo")
    tls = text[text.index("    # Without it"):text.index("    auth = {")]
    run_recipe(site, "login-file.conf", {
        tls: f'addr = "127.0.0.1:{site.port}";', "/etc/ouistiti/users": str(users), "/srv/www/htdocs": str(pages)})
    login = basic("anna", "secret")
    assert status(site, "")[0] == 401
    assert status(site, "", login)[0] == status(site, "public/")[0] == 200
    with connect(site.url("echo"), additional_headers={"Authorization": login}) as client:
        client.send("hello")
        assert client.recv(timeout=DEADLINE) == "hello"
    with pytest.raises(InvalidStatus) as refused:
        connect(site.url("echo"))
    assert refused.value.response.status_code == 401


def test_the_recipe_of_a_python_check_works(site, tmp_path):
    _, port = free_address()
    check = tmp_path / "check.py"
    check.write_text((ROOT / "etc" / "login-check.py").read_text().replace("9091", str(port)))
    process = subprocess.Popen([sys.executable, check], stderr=subprocess.DEVNULL)
    site.processes.append(process)
    wait_until("the check to listen", lambda: listens("127.0.0.1", port))
    site.backend("echo")
    run_recipe(site, "login-forward.conf", {"9091": str(port), "8080": str(site.port), 'proxy = "v2";': ""})
    cookie = {"Cookie": "a=b; session=6f1ed002ab5595859014ebf0951522d9"}
    with connect(site.url("echo"), additional_headers=cookie) as client:
        client.send("hello")
        assert client.recv(timeout=DEADLINE) == "hello"
    for headers in ({}, {"Cookie": "session=x"}, {"Remote-User": "ann"}):
        with pytest.raises(InvalidStatus) as refused:
            connect(site.url("echo"), additional_headers=headers)
        assert refused.value.response.status_code == 403
    process.kill()
    process.wait()
    with pytest.raises(InvalidStatus) as refused:
        connect(site.url("echo"), additional_headers=cookie)
    assert refused.value.response.status_code == 503


def listens(host, port):
    """Whether somebody listens there."""
    with socket.socket() as client:
        return client.connect_ex((host, port)) == 0


# What OpenWrt's ubus and jsonfilter say of the one session there is.
UBUS = """#!/bin/sh
case "$*" in *5f4dcc3b5aa765d61d8327deb882cf99*) echo '{"values":{"username":"root"}}' ;; *) exit 4 ;; esac
"""
JSONFILTER = """#!/bin/sh
sed -n 's/.*"username":"\\([^"]*\\)".*/\\1/p'
"""


def test_the_recipe_of_openwrts_session_works(site, tmp_path):
    www = tmp_path / "www"
    (www / "cgi-bin").mkdir(parents=True)
    programs = {"ubus": UBUS, "jsonfilter": JSONFILTER}
    cgi = www / "cgi-bin" / "ouistiti-login"
    cgi.write_text((ROOT / "etc" / "login-openwrt.cgi").read_text())
    cgi.chmod(0o755)
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    _, port = free_address()
    server = subprocess.Popen(
        ["busybox", "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", www],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    site.processes.append(server)
    wait_until("httpd to listen", lambda: listens("127.0.0.1", port))
    run = site.run / "cgi-bin" / "luci"
    run.mkdir(parents=True)
    site.backend("echo")
    (run / "echo").symlink_to("../../echo")
    run_recipe(site, "login-openwrt.conf", {
        "127.0.0.1:80": f"127.0.0.1:{port}", "port = 9001;": f'addr = "127.0.0.1:{site.port}";'})
    good = "5f4dcc3b5aa765d61d8327deb882cf99"
    for cookie in (f"sysauth_http={good}", f"a=b; sysauth={good}", f"sysauth_https={'0' * 32}; sysauth_http={good}"):
        with connect(site.url("cgi-bin/luci/echo"), additional_headers={"Cookie": cookie},
                     origin="http://127.0.0.1") as client:
            client.send("hello")
            assert client.recv(timeout=DEADLINE) == "hello"
    for cookie in ("", f"sysauth={'0' * 32}", f"xsysauth={good}", f"sysauth={good}0", f"sysauth=$(id);x={good}"):
        with pytest.raises(InvalidStatus) as refused:
            connect(site.url("cgi-bin/luci/echo"), additional_headers={"Cookie": cookie})
        assert refused.value.response.status_code == 403, cookie
