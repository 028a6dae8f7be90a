"""The console as the index page of a gateway without a configuration file, in Chromium."""

import json
import re
import socket

import pytest
from playwright.sync_api import expect

from chromium import chromium, new_page
from stub import REFUSED, echo, stub

# Services that the stand-in lists; a console connects by itself to the first that can be had.
LISTING = json.dumps({"services": [{"name": "-status", "state": "running"}, {"name": "dead", "state": "stopped"},
                                   {"name": "echo", "state": "running"}, {"name": "zoo/ape"}, {"name": 7}, {}],
                      "more": 1})

# A service whose server runs though no WebSocket reaches it.
RUNNING = json.dumps({"services": [{"name": "spoiled", "state": "running"}]})


@pytest.fixture(scope="module")
def browser():
    """One headless Chromium for all tests."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def window(browser):
    """Opens windows; an error in a script or a breach of the policy fails the test."""
    windows, errors = [], []

    def open_window(url):
        page = new_page(browser, viewport={"width": 1280, "height": 800})
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: "Security Policy" in message.text and errors.append(message.text))
        page.goto(url)
        windows.append(page)
        return page

    yield open_window
    for page in windows:
        page.close()
    assert not errors


def is_open(page):
    """Waits until the page is connected."""
    expect(page.locator("#state")).to_have_attribute("data-state", "open")


def received(page):
    """The newest message that came."""
    return page.locator("#log li[data-kind=received]").first


def test_the_index_page_connects_by_itself_under_a_strict_policy(window):
    with stub(echo, LISTING) as url:
        page = window(url)
        is_open(page)
        expect(page.locator("#services button")).to_have_text(["-status", "dead not running", "echo", "zoo/ape"])
        expect(page.locator("#state")).to_contain_text("/echo")
        expect(page.locator("nav")).to_be_hidden()
        page.keyboard.press("Tab")
        page.focus("#text")
        page.keyboard.type("hello")
        page.keyboard.press("Enter")
        expect(received(page)).to_contain_text("hello")
        expect(received(page)).to_have_attribute("data-same", "yes")
        expect(page.locator("#graph rect")).to_have_count(1)
        expect(page.locator("#sent")).to_have_text("5 bytes")
        page.click("#services button >> text=zoo/ape")
        expect(page.locator("#state")).to_contain_text("/zoo/ape")
        page.reload()
        expect(page.locator("#state")).to_contain_text("/zoo/ape")


def test_of_all_services_an_echo_comes_first(window):
    services = json.dumps({"services": [{"name": "auth", "state": "running"}, {"name": "echo", "state": "running"}]})
    with stub(echo, services) as url:
        page = window(url)
        is_open(page)
        expect(page.locator("#state")).to_contain_text("/echo")


def test_it_tells_how_many_others_share_a_service(window):
    shared = json.dumps({"services": [{"name": "alone", "clients": 1}, {"name": "line", "clients": 3}, {"name": "own"}]})
    with stub(echo, shared) as url:
        page = window(url)
        for name, text in [("alone", "Shared: nobody else is here."), ("line", "Shared: 2 others see what you see."),
                           ("own", "")]:
            page.click(f"#services button >> text={name}")
            is_open(page)
            expect(page.locator("#sharers")).to_have_text(text)


def test_without_a_listing_a_service_is_typed(window):
    with stub(echo) as url:
        page = window(f"{url}?name=first")
        is_open(page)
        expect(page.locator("#services")).to_be_hidden()
        page.fill("#name", "second/of all")
        page.press("#name", "Enter")
        expect(page.locator("#state")).to_contain_text("/second/of%20all")
        is_open(page)


@pytest.mark.parametrize("name, words, again", [
    ("stopped", "stopped is not running: nothing accepts its connections", True),
    ("spoiled", "spoiled is running, but no WebSocket gets through", True),
    ("denied", "denied is not allowed by the gateway: see allow", False),
    ("absent", "absent is not there: the gateway serves no such name", True),
    ("busy", "busy cannot serve now", True),
    ("host", "host cannot be reached by this host name", False),
    ("odd", "odd is refused with status 418", True),
    ("", "the service at / is not running", True),
    ("icon.svg", "icon.svg is not a service but a page or file", False),
])
def test_a_failed_connection_shows_its_likely_reason_in_one_line(window, name, words, again):
    def refuse(connection):
        raise AssertionError(f"{connection.request.path} was let in")

    with stub(refuse, RUNNING) as url:
        page = window(f"{url}manual.html")
        if name in ("", "icon.svg"):
            # The stand-in lets any other handshake in: this one never leaves the page.
            page.add_init_script("WebSocket = class extends EventTarget {"
                                 " constructor() { super(); setTimeout(() => this.onclose({ code: 1006 })); } }")
        page.goto(f"{url}?name={name}")
        newest = page.locator("#log li[data-kind=error]")
        expect(newest).to_contain_text(words)
        if again:
            # Or more: it goes on trying.
            expect(newest).to_contain_text(re.compile(r"\b([3-9]|\d\d+) times"))
        else:
            expect(page.locator("#state")).to_have_attribute("data-state", "closed")
        expect(newest).to_have_count(1)
        expect(page.locator("#state")).to_contain_text(words)


def test_every_status_of_the_stand_in_is_tried():
    (mark,) = test_a_failed_connection_shows_its_likely_reason_in_one_line.pytestmark
    assert set(REFUSED) <= {name for name, _, _ in mark.args[1]}


def test_a_gateway_that_is_gone_is_told_from_a_service(window):
    with stub(echo) as url:
        page = window(url)
        is_open(page)
    expect(page.locator("#log li[data-kind=error]")).to_contain_text("the gateway does not answer: it has stopped")


def test_a_talkative_service_does_not_stop_the_page(window):
    def talk(connection):
        connection.recv()
        for number in range(20_000):
            connection.send(f"line {number}\n")
        connection.send("the end")
        connection.recv()

    with stub(talk) as url:
        page = window(url)
        is_open(page)
        page.fill("#text", "begin")
        page.press("#text", "Enter")
        expect(received(page)).to_contain_text("the end")
        assert page.locator("#log li").count() <= 200


def test_what_was_sent_comes_back_with_the_arrow_keys(window):
    with stub(echo) as url:
        page = window(url)
        is_open(page)
        for text in ("one", "two\nlines"):
            page.fill("#text", text)
            page.press("#text", "Enter")
        for key, text in (("ArrowUp", "two\nlines"), ("ArrowUp", "one"), ("ArrowUp", "one"),
                          ("ArrowDown", "two\nlines"), ("ArrowDown", "")):
            page.press("#text", key)
            expect(page.locator("#text")).to_have_value(text)
        page.reload()
        is_open(page)
        page.press("#text", "ArrowUp")
        expect(page.locator("#text")).to_have_value("two\nlines")


def test_bytes_are_sent_as_written_in_hex(window):
    got = []

    def keep(connection):
        for message in connection:
            got.append(message)
            connection.send("an answer that is no echo")

    with stub(keep) as url:
        page = window(url)
        is_open(page)
        page.select_option("#kind", "hex")
        page.fill("#text", "0x00 ff:7F,80")
        page.click("#send")
        expect(received(page)).to_contain_text("an answer that is no echo")
        expect(received(page)).to_have_attribute("data-same", "no")
        expect(page.locator("#log li[data-kind=sent]")).to_contain_text("00 ff 7f 80")
        page.fill("#text", "0x0")
        page.click("#send")
        expect(page.locator("#log li[data-kind=error]")).to_contain_text("pairs of the digits")
    assert got == [b"\x00\xff\x7f\x80"]


def test_the_subprotocol_that_was_chosen_is_shown(window):
    with stub(echo) as url:
        page = window(f"{url}?name=x")
        is_open(page)
        page.click("summary")
        page.fill("#protocols", "chat, mqtt")
        page.press("#protocols", "Enter")
        expect(page.locator("#state")).to_contain_text("x, mqtt")
        is_open(page)


def test_a_start_without_a_file_shows_the_services_and_connects(window, site):
    site.backend("echo")
    dead(site.run / "gone")
    site.without_file("-d", site.run)
    page = window(site.url("", "http"))
    is_open(page)
    expect(page.locator("#state")).to_contain_text("/echo")
    expect(page.locator("#services button")).to_have_text(["echo", "gone not running"])
    expect(page.locator("nav")).to_be_hidden()
    page.fill("#text", "hello")
    page.press("#text", "Enter")
    expect(received(page)).to_contain_text("hello")


def test_not_running_not_allowed_and_not_there_are_three_things(window, site):
    site.backend("secret")
    dead(site.run / "gone")
    site.start(websocket='list = true; deny = "secret";')
    page = window(site.url("console.html?name=gone", "http"))
    newest = page.locator("#log li[data-kind=error]").first
    for name, words in (
        ("gone", "gone is not running"),
        ("secret", "secret is not allowed by the gateway"),
        ("absent", "absent is not there"),
    ):
        page.fill("#name", name)
        page.press("#name", "Enter")
        expect(newest).to_contain_text(words)
    expect(page.locator("#services button")).to_have_text(["gone not running"])


def dead(path):
    """Leaves a socket that nobody listens on any more."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
