"""Firefox windows use the pages, as people would. Chromium's tests say more of each page."""

import pytest

from conftest import RELEASE
from firefox import CONTROL, ENTER, Firefox
from stub import echo, stub

# What must never become an element of a page.
MARKUP = "<img src=x onerror=alert(1)> 🐒"


@pytest.fixture(scope="module")
def firefox(tmp_path_factory):
    """One headless Firefox for all tests."""
    firefox = Firefox(tmp_path_factory.mktemp("firefox"))
    yield firefox
    firefox.stop()


@pytest.fixture
def window(firefox, site):
    """Opens windows; what goes wrong in their scripts, or asks, fails the test."""
    windows = []

    def open_window(path, **size):
        windows.append(firefox.open(site.url(path, "http"), **size))
        return windows[-1]

    yield open_window
    errors = list(firefox.errors)
    firefox.errors.clear()
    for each in windows:
        each.close()
    assert not errors


def newest(kind):
    """The newest entry of this kind in a log."""
    return f"#log li[data-kind={kind}]:first-child"


def test_what_is_sent_comes_back(site, window, way):
    site.serve(way, "echo")
    page = window("console.html")
    page.wait("byId('state').dataset.state === 'open'")
    page.type("#text", MARKUP)
    page.click("#send")
    page.wait_for_text(newest("received"), MARKUP)
    page.wait(f"document.querySelector({newest('received')!r}).dataset.same === 'yes'")
    assert page.evaluate("document.querySelectorAll('#log img').length") == 0
    page.click("summary")
    page.click("#sendlarge")
    page.wait("document.querySelector('#log li').dataset.bytes === '1048576'")
    page.wait("document.querySelector('#log li').dataset.same === 'yes'")
    page.type("#closecode", "4321")
    page.click("#close")
    page.wait("document.querySelector('#log li[data-kind=closed]')?.dataset.code === '4321'")


def test_the_index_page_connects_by_itself_under_a_strict_policy(firefox):
    with stub(echo, '{"services": [{"name": "echo"}]}') as url:
        page = firefox.open(url)
        try:
            page.wait("byId('state').dataset.state === 'open'")
            page.type("#text", "hello")
            page.press(ENTER)
            page.wait_for_text(newest("received"), "hello")
            page.wait("byId('services').textContent === 'echo'")
        finally:
            page.close()
    assert not firefox.errors


def test_two_windows_chat(site, window, out, way):
    site.serve(way, "chat", "-w", program="websocket_chat")
    ann, bob = window("webchat.html", width=390, height=844), window("webchat.html")
    for page, name in ((ann, "ann"), (bob, "bob")):
        page.type("#nick", name)
        page.press(ENTER)
        page.wait("!byId('send').disabled")
    for page in (ann, bob):
        page.wait("document.querySelectorAll('#people li').length === 2")

    ann.type("#text", MARKUP)
    ann.press(ENTER)
    bob.wait_for_text("#messages li[data-kind=message][data-from=ann]", MARKUP)
    assert bob.evaluate("document.querySelectorAll('#messages img').length") == 0
    bob.click("#people li[data-name=ann] [data-action=private]")
    bob.type("#text", "for ann alone")
    bob.click("#send")
    ann.wait_for_text("#messages li[data-kind=private][data-from=bob]", "for ann alone")
    bob.click("#people li[data-name=ann] [data-action=whois]")
    known = "ann is at 127." if way == "direct" else "Nobody here knows the address of ann"
    bob.wait_for_text("#messages li", known)
    bob.screenshot(out / "firefox-webchat.png")
    bob.click("#leave")
    ann.wait("document.querySelectorAll('#people li').length === 1")


def test_a_user_signs_in_and_creates_another(site, window, tmp_path, way):
    options = ["-L", RELEASE / "libauthrpc.so", "-C", f"{tmp_path}/users.db;root=admin"]
    site.serve(way, "auth", *options, program="websocket_jsonrpc")
    page = window("webauth.html")
    page.wait("!byId('auth').disabled")
    page.type("#user", "admin")
    page.type("#passwd", "another")
    page.press(ENTER)
    page.wait_for_text(newest("error"), "user or password not found")
    page.type("#passwd", site.first_password())
    page.press(ENTER)
    page.wait_for_text("#whoami", "admin (root)")
    page.type("#newuser", "ann")
    page.type("#newpasswd", "a secret")
    page.click("#adduser")
    page.wait_for_text(newest("received"), "adduser ann: user added")


def test_rows_are_shown_as_a_table(site, window, tmp_path, way):
    options = ["-L", RELEASE / "libjsonsql.so", "-C", tmp_path / "data.db"]
    site.serve(way, "sql", *options, program="websocket_jsonrpc")
    page = window("websql.html")
    page.wait("!byId('run').disabled")
    for number, query in enumerate([
        "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT)",
        f"INSERT INTO things (name) VALUES ('{MARKUP}'), (NULL)",
        "SELECT * FROM things",
    ]):
        page.type("#query", query)
        page.press(CONTROL, ENTER)
        page.wait(f"document.querySelectorAll('#log li').length === {number + 1}")
    page.wait("document.querySelectorAll('#result tbody tr').length === 2")
    page.wait_for_text("#result tbody tr:first-child td:nth-child(2)", MARKUP)
    assert page.evaluate("document.querySelectorAll('#result img').length") == 0
