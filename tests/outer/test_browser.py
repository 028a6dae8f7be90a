"""A real Chromium drives the console behind the gateway, as a person would."""

import pytest
from playwright.sync_api import expect

from chromium import chromium, new_page
from conftest import Site

# Opens a WebSocket and tells how that ended.
TRY = """url => new Promise(resolve => {
    const socket = new WebSocket(url);
    socket.onopen = () => resolve("open");
    socket.onclose = event => resolve(event.code);
})"""


@pytest.fixture(scope="module")
def browser():
    """One headless Chromium for all tests."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser, site):
    """The console, connected; what goes wrong in its scripts fails the test."""
    site.backend("echo")
    site.start()
    page = new_page(browser, viewport={"width": 1000, "height": 900})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(site.url("console.html", "http"))
    expect(page.locator("#state")).to_have_attribute("data-state", "open")
    yield page
    page.close()
    assert not errors


def received(page):
    """The newest answer in the log."""
    return page.locator("#log li[data-kind=received]").first


def test_text_comes_back_with_its_four_byte_characters(page):
    page.fill("#text", "router 🐒 déjà €")
    page.click("#send")
    answer = received(page)
    expect(answer).to_contain_text("router 🐒 déjà €")
    expect(answer).to_have_attribute("data-type", "text")
    expect(answer).to_have_attribute("data-same", "yes")


def test_binary_comes_back_as_binary(page):
    page.fill("#text", "bytes 🐒")
    page.select_option("#kind", "binary")
    page.click("#send")
    answer = received(page)
    expect(answer).to_have_attribute("data-type", "binary")
    expect(answer).to_have_attribute("data-same", "yes")


def test_one_mebibyte_comes_back_unchanged(page):
    page.click("summary")
    page.click("#sendlarge")
    answer = received(page)
    expect(answer).to_have_attribute("data-bytes", str(1 << 20))
    expect(answer).to_have_attribute("data-same", "yes")


@pytest.mark.parametrize("code", [1000, 3000, 4999])
def test_the_close_code_comes_back(page, code):
    page.click("summary")
    page.fill("#closecode", str(code))
    page.click("#close")
    closed = page.locator("#log li[data-kind=closed]").first
    expect(closed).to_have_attribute("data-code", str(code))


def test_a_service_that_is_not_there_shows_an_error(page):
    page.fill("#name", "absent")
    page.click("#connect")
    expect(page.locator("#log li[data-kind=error]").first).to_be_visible()


def test_a_foreign_page_is_refused_and_its_own_is_not(page, browser, site, tmp_path):
    assert page.evaluate(TRY, site.url("echo")) == "open"
    foreign = Site(tmp_path)
    # Its own policy would keep the page from asking at all.
    other = new_page(browser, bypass_csp=True)
    try:
        foreign.start()
        other.goto(foreign.url("console.html", "http"))
        assert other.evaluate(TRY, site.url("echo")) == 1006
    finally:
        other.close()
        foreign.stop()


def test_a_picture_of_the_page_is_kept(page, out):
    for count in range(30):
        page.fill("#text", f"message {count} 🐒")
        page.click("#send")
        expect(received(page)).to_contain_text(f"message {count} 🐒")
    page.click("summary")
    page.click("#sendlarge")
    expect(received(page)).to_have_attribute("data-bytes", str(1 << 20))
    page.screenshot(path=out / "console.png")
    assert (out / "console.png").stat().st_size > 10_000
