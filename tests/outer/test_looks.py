"""How the pages look and whether everybody can use them; pictures of each in out/pages.

A person looks at the pictures after a change; what a program can see is checked here:
nothing leaves a phone's screen sideways, axe finds nothing (https://github.com/dequelabs/axe-core:
labels, roles, contrast), the Tab key visits everything in reading order, and no page asks
another host for anything.
"""

import re
import socket

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from chromium import chromium, new_page
from conftest import RELEASE

SIZES = {"phone": {"width": 390, "height": 844}, "desk": {"width": 1280, "height": 800}}

# Of axe: what WCAG 2.2 asks for on levels A and AA, and good practice.
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}

# What of a page the Tab key should visit, in the order of the document.
FOCUSABLE = """[...document.querySelectorAll('a[href], button, input, textarea, select, summary, [tabindex]')]
    .filter(e => e.tabIndex >= 0 && !e.disabled && e.checkVisibility())"""


@pytest.fixture(scope="module")
def browser():
    """One headless Chromium for all tests."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def whole(site, tmp_path):
    """A site with every service but none of the tests' hurry: names as they are by default."""
    site.backend("echo", "-q")
    for name in ("chat", "members"):
        site.backend(name, "-q", "-w", program="websocket_chat")
    for name, plugin in (("auth", "authrpc"), ("sql", "jsonsql")):
        config = f"{tmp_path}/{name}.db" + (";root=admin" if name == "auth" else "")
        options = ["-q", "-L", RELEASE / f"lib{plugin}.so", "-C", config]
        site.backend(name, *options, program="websocket_jsonrpc")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(site.run / "modem"))
    return site.start(websocket='list = true; links = ({ origin = "-status"; type = "status"; });')


def index(page, *_):
    """The overview with all services there."""
    for name in ("echo", "chat", "auth", "sql"):
        expect(page.locator(f"[data-service={name}]")).to_have_attribute("data-state", "open")
    services = ["-status", "auth", "chat", "echo", "members", "modem not running", "sql"]
    expect(page.locator("#services a")).to_have_text(services)
    expect(page.locator("h2 a[href='status.html']")).to_be_visible()


def console(page, *_):
    """Some round trips, a refusal and a close."""
    page.click("#services button >> text=echo")
    expect(page.locator("#state")).to_have_attribute("data-state", "open")
    for count in range(12):
        page.fill("#text", f"message {count} to the router and back 🐒")
        page.click("#send")
        expect(page.locator("#log li[data-kind=received]")).to_have_count(count + 1)
    for kind in ("binary", "text"):
        page.fill("#text", "a_word_without_any_place_to_break_it_" * 6)
        page.select_option("#kind", kind)
        page.click("#send")
    page.click("summary")
    page.click("#sendlarge")
    expect(page.locator("#log li[data-kind=received]")).to_have_count(15)
    page.click("#close")
    expect(page.locator("#log li[data-kind=closed]")).to_have_count(1)
    page.fill("#name", "absent")
    page.click("#connect")
    # Or more: it goes on trying.
    expect(page.locator("#log li[data-kind=error]")).to_contain_text(re.compile(r"\b([2-9]|\d\d+) times"))
    page.fill("#name", "echo")
    page.click("#connect")
    expect(page.locator("#state")).to_have_attribute("data-state", "open")


def webchat(page, open_page, _):
    """A talk of two, with long words and a private message."""
    other = open_page("webchat.html")
    for window, nick, color in ((page, "ann", "#0b6bcb"), (other, "wilhelmina-with-a-long-name", "#b3261e")):
        window.fill("#nick", nick)
        window.fill("#color", color)
        window.click("#join")
        expect(window.locator("#send")).to_be_enabled()
    expect(page.locator("#people li")).to_have_count(2)
    for window, text in (
        (other, "Hello ann! The kettle is on."),
        (page, "Good. " + "I tell you at some length why it took so long. " * 4),
        (other, "https://router.example/" + "path/" * 20),
        (page, "<b>as it is</b> 🐒"),
    ):
        window.fill("#text", text)
        window.press("#text", "Enter")
    page.click("[data-action=private]")
    page.fill("#text", "for you alone")
    page.press("#text", "Enter")
    page.click("[data-action=whois]")
    expect(page.locator("#messages")).to_contain_text("Nobody here knows")
    other.fill("#text", "what was that?")
    other.press("#text", "Enter")
    expect(page.locator("#messages")).to_contain_text("what was that?")


def status(page, open_page, site):
    """A few clients, one of which was refused; a phone shows them as cards."""
    name = "a-service-with-a-name-as-long-as-a-phone-is-wide"
    site.backend(name, "-q")
    for path in ("webchat.html", "console.html?name=echo", f"console.html?name={name}", "console.html?name=absent"):
        open_page(path)
    for service in ("echo", name):
        expect(page.locator("#clients tr").filter(has_text=service)).to_have_count(1)
    expect(page.locator("#counts")).to_contain_text("no service: ")
    # In one step, since each message replaces the rows.
    column = "getComputedStyle(document.querySelector('#clients td'), '::before').content"
    assert page.evaluate(column) == '"Id"'


def members(page, *_):
    """A gateway without a login."""
    expect(page.locator("#state")).to_have_attribute("data-state", "open")
    page.click("#signout")
    expect(page.locator("#signout")).to_have_text("No login is asked for here")


def manual(page, *_):
    """It is as it is."""
    expect(page.locator("h1")).to_have_text("Manual")


def webauth(page, _, site):
    """A root user who has made another, and mistaken a password."""
    newest = page.locator("#log li").first
    page.fill("#user", "admin")
    page.fill("#passwd", site.first_password())
    page.click("#auth")
    expect(page.locator("#whoami")).to_have_text("admin (root)")
    page.fill("#newuser", "a-user-with-quite-a-long-name-for-a-phone")
    page.fill("#newpasswd", "another secret")
    page.fill("#group", "users")
    page.fill("#home", "/home/user")
    page.click("#adduser")
    expect(newest).to_contain_text("user added")
    page.fill("#passwd", "wrong")
    page.fill("#user", "admin")
    page.fill("#new", "another secret")
    page.fill("#confirm", "another secret")
    page.click("#change-passwd")
    expect(newest).to_contain_text("user or password not found")


def websql(page, *_):
    """A table wider than a phone, and a mistake."""
    for number, query in enumerate((
        "CREATE TABLE leases (id INTEGER PRIMARY KEY, address TEXT, name TEXT, hardware TEXT, until REAL, note TEXT)",
        "INSERT INTO leases (address, name, hardware, until, note) VALUES"
        " ('192.168.1.20', 'ann''s phone', '02:00:5e:10:00:01', 1795464000.5, NULL),"
        " ('192.168.1.21', 'printer', '02:00:5e:10:00:02', 1795467600, 'second floor, by the stairs, behind the plant'),"
        " ('2001:db8:0:1:c0ff:ee00:1234:5678', '<b>not bold</b>', '02:00:5e:10:00:03', 1795471200, ''),"
        f" ('192.168.1.22', '{'long' * 50}', '', NULL, '')",
        "SELEC * FROM leases",
        "SELECT * FROM leases ORDER BY id",
    )):
        page.fill("#query", query)
        page.click("#run")
        expect(page.locator("#log li")).to_have_count(number + 1)
    expect(page.locator("#result tbody tr")).to_have_count(4)
    expect(page.locator("#tables button")).to_have_count(1)


# Asks for a script of another host, and tells what came of it.
ELSEWHERE = """() => new Promise(resolve => {
    document.addEventListener('securitypolicyviolation', event => resolve(event.effectiveDirective));
    const script = document.createElement('script');
    // The two events of a script that the policy stops come in any order.
    script.onload = () => resolve('was asked for');
    script.onerror = () => setTimeout(() => resolve('was asked for'), 30000);
    script.src = 'http://127.0.0.1:9/script.js';
    document.head.append(script);
})"""


@pytest.mark.parametrize("use", [index, console, webchat, webauth, websql, status, members, manual])
def test_a_page_fits_every_screen_and_everyone_can_use_it(browser, whole, out, use):
    pages, said = [], []

    def open_page(path):
        page = new_page(browser, viewport=SIZES["phone"])
        page.on("console", lambda message: said.append(message.text))
        page.goto(whole.url(path, "http"))
        pages.append(page)
        return page

    page = open_page(f"{use.__name__}.html")
    use(page, open_page, whole)
    (out / "pages").mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for size, viewport in SIZES.items():
            page.set_viewport_size(viewport)
            page.screenshot(path=out / "pages" / f"{use.__name__}-{size}-{scheme}.png", full_page=True)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= viewport["width"], f"{size}: {wide} pixels wide"
            found = Axe().run(page, options=RULES)
            assert found.violations_count == 0, f"{size}, {scheme}: {found.generate_report()}"

    assert page.title().endswith("ouistiti")
    expect(page.locator("nav a[href='manual.html']")).to_have_text("Manual")
    icon = page.locator("link[rel=icon]").get_attribute("href")
    assert page.request.get(whole.url(icon, "http")).ok
    page.focus(".skip")
    count = page.evaluate(f"{FOCUSABLE}.length")
    order = []
    for _ in range(count):
        order.append(page.evaluate(f"{FOCUSABLE}.indexOf(document.activeElement)"))
        page.keyboard.press("Tab")
    assert order == list(range(count)), page.evaluate(f"{FOCUSABLE}.map(e => e.id || e.textContent)")
    assert not [text for text in said if "Content Security Policy" in text]
    assert page.evaluate(ELSEWHERE) == "script-src-elem"
    for each in pages:
        each.close()
