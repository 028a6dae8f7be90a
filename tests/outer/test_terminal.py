"""A shell in a browser's window: websocket_terminal behind the gateway, and its page."""

import re
import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from chromium import chromium, new_page
from conftest import ROOT, wait_until
from firefox import ENTER, Firefox

PAGE = ROOT / "utils" / "terminal" / "htdocs"

pytestmark = pytest.mark.skipif(
    not (PAGE / "xterm.js").exists(), reason="xterm.js was not fetched: make terminal"
)

SIZES = {"phone": {"width": 390, "height": 844}, "desk": {"width": 1280, "height": 800}}

# What the terminal shows, a line a row.
TEXT = """[...Array(terminal.rows).keys()].map(row => terminal.buffer.active
    .getLine(terminal.buffer.active.viewportY + row).translateToString(true)).join('\\n')"""


def serve(site, way, directory):
    """Serves a shell, and the pages as `make install` puts them together."""
    site.pages = directory / "pages"
    shutil.copytree(ROOT / "utils" / "htdocs", site.pages)
    shutil.copytree(PAGE, site.pages, dirs_exist_ok=True)
    site.serve(way, "terminal", "--", "env", "PS1=$ ", "sh", program="websocket_terminal")


@pytest.fixture(params=["stream", "direct"])
def page(request, site, tmp_path):
    """The page, connected to a shell; an error in a script or a breach of its policy fails the test."""
    serve(site, request.param, tmp_path)
    errors = []
    with chromium() as browser:
        page = new_page(browser, viewport=SIZES["desk"])
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: "Security Policy" in message.text and errors.append(message.text))
        page.goto(site.url("terminal.html", "http"))
        expect(page.locator("#state")).to_have_attribute("data-state", "open")
        wait_until("the prompt", lambda: page.evaluate(TEXT).startswith("$"))
        yield page
    assert not errors


# What is typed before the prompt is echoed at once, and the prompt comes before the answer then.
PROMPT = r"^(\$ )?"


def shows(page, words):
    """Waits until the terminal shows a line that matches."""
    try:
        wait_until(words, lambda: re.search(words, page.evaluate(TEXT), re.MULTILINE))
    except AssertionError as late:
        late.add_note(page.evaluate(TEXT))
        raise


def size(page):
    """Rows and columns of the page's terminal."""
    return "{} {}".format(*page.evaluate("[terminal.rows, terminal.cols]"))


def test_a_shell_is_used_in_the_browser(page, out):
    page.keyboard.type("echo $((6 * 7)) déjà 🐒\n")
    shows(page, "^42 déjà 🐒$")
    page.keyboard.type("stty size\n")
    shows(page, f"{PROMPT}{size(page)}$")
    before = size(page)
    page.set_viewport_size(SIZES["phone"])
    wait_until("another size", lambda: size(page) != before)
    page.keyboard.type("stty size\n")
    shows(page, f"{PROMPT}{size(page)}$")
    page.keyboard.type("printf '\\033[38;2;255;120;0mbright\\033[0m \\377\\n'\n")
    shows(page, f"{PROMPT}bright")
    # A row is drawn after the terminal has its text; until then the echo of the command is the last.
    row = page.locator(".xterm-rows span", has_text="bright").last
    expect(row).to_have_css("color", "rgb(255, 120, 0)")
    wide = lambda: page.evaluate("document.documentElement.scrollWidth")
    wait_until("a page that fits the screen", lambda: wide() <= SIZES["phone"]["width"])
    (out / "pages").mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for name, viewport in SIZES.items():
            page.set_viewport_size(viewport)
            page.screenshot(path=out / "pages" / f"terminal-{name}-{scheme}.png", full_page=True)
        found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]})
        assert found.violations_count == 0, found.generate_report()


def test_the_end_of_the_shell_is_told_and_another_is_a_press_away(page):
    page.keyboard.type("exit\n")
    shows(page, r"^\[Closed with 1000, normal end\]")
    page.click("#connect")
    expect(page.locator("#state")).to_have_attribute("data-state", "open")
    shows(page, r"^\$")
    page.keyboard.press("Control+Shift+Space")
    expect(page.locator("#close")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_attribute("data-state", "closed")


def test_a_program_that_writes_without_end_is_interrupted(page):
    page.keyboard.type("yes\n")
    shows(page, "^y$")
    page.keyboard.press("Control+C")
    # What is typed before the prompt is echoed, and would stand before the answer on its line.
    # Its line may begin with what of the program's output was not thrown away.
    shows(page, r"\$\s*$")
    page.keyboard.type("echo do''ne\n")
    shows(page, "^done$")


def test_a_shell_is_used_in_firefox(site, tmp_path, out):
    serve(site, "stream", tmp_path)
    profile = tmp_path / "profile"
    profile.mkdir()
    firefox = Firefox(profile)
    try:
        page = firefox.open(site.url("terminal.html", "http"))
        page.wait(f"/^\\$/.test({TEXT})")
        for key in "printf '\\033[1;32mgr''een\\033[0m\\n'":
            page.press(key)
        page.press(ENTER)
        page.wait(f"/^green$/m.test({TEXT})")
        bright = "[...document.querySelectorAll('.xterm-rows span')].find(e => e.textContent.startsWith('green'))"
        page.wait(f"{bright} && getComputedStyle({bright}).color === 'rgb(138, 226, 52)'")
        page.screenshot(out / "firefox-terminal.png")
        assert not firefox.errors
    finally:
        firefox.stop()
