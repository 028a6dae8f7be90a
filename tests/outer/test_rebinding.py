"""A page whose name has been pointed at the gateway (DNS rebinding), in a real Chromium."""

import pytest

from chromium import chromium, new_page

# Opens a WebSocket to the page's own host and tells how that ended.
OWN = """() => new Promise(resolve => {
    const socket = new WebSocket(`ws://${location.host}/echo`);
    socket.onopen = () => resolve("open");
    socket.onclose = event => resolve(event.code);
})"""


@pytest.fixture(scope="module")
def browser():
    """A Chromium for which evil.example and gw.example.org are this machine, as a DNS server of
    an attacker's would tell it."""
    names = "MAP evil.example 127.0.0.1, MAP gw.example.org 127.0.0.1"
    with chromium(f"--host-resolver-rules={names}") as browser:
        yield browser


def attempt(browser, site, host):
    """How a WebSocket ends that a page of `host` opens to itself."""
    page = new_page(browser)
    page.goto(f"http://{host}:{site.port}/index.html")
    outcome = page.evaluate(OWN)
    page.close()
    return outcome


def test_a_rebound_page_gets_no_service(browser, site):
    site.backend("echo")
    site.start(addr="127.0.0.1", server='hostname = "gw.example.org";')
    assert attempt(browser, site, "127.0.0.1") == "open"
    assert attempt(browser, site, "gw.example.org") == "open"
    assert attempt(browser, site, "evil.example") == 1006


def test_without_hostname_only_local_names_are_own(browser, site):
    site.backend("echo")
    site.start(addr="127.0.0.1")
    assert attempt(browser, site, "localhost") == "open"
    assert attempt(browser, site, "gw.example.org") == 1006
    assert attempt(browser, site, "evil.example") == 1006
