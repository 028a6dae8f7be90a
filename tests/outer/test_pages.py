"""Chromium windows chat, manage users and ask SQL, as people would."""

import json

import pytest
from playwright.sync_api import expect

from chromium import chromium, new_page
from conftest import DEADLINE, RELEASE, connect, wait_until

# What must never become an element of a page.
MARKUP = "<img src=x onerror=alert(1)> 🐒"

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def browser():
    """One headless Chromium for all tests."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def window(browser, site):
    """Opens windows; what goes wrong in their scripts, or asks, fails the test."""
    windows, errors = [], []

    def open_window(path, viewport=DESK):
        page = new_page(browser, viewport=viewport)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        page.goto(site.url(path, "http"))
        windows.append(page)
        return page

    yield open_window
    for page in windows:
        page.close()
    assert not errors


def join(page, nick):
    """Joins the chat as this page's person."""
    page.fill("#nick", nick)
    page.click("#join")
    expect(page.locator("#send")).to_be_enabled()


def people(page, *names):
    """Waits until exactly these are listed, the page's own person first."""
    listed = lambda: page.eval_on_selector_all("#people li", "rows => rows.map(row => row.dataset.name)")
    wait_until(f"{names} to be listed", lambda: listed() == list(names))


def line(page, kind, sender):
    """The newest line of this kind from this person."""
    return page.locator(f"#messages li[data-kind={kind}][data-from={sender}]").last


def test_three_windows_chat(site, window, way):
    site.serve(way, "chat", "-w", program="websocket_chat")
    ann, bob, cid = (window("webchat.html", size) for size in (PHONE, DESK, DESK))
    join(ann, "ann")
    join(bob, "bob")
    people(ann, "ann", "bob")
    join(cid, "cid")
    people(ann, "ann", "bob", "cid")
    people(bob, "bob", "ann", "cid")
    people(cid, "cid", "ann", "bob")

    ann.fill("#text", MARKUP)
    ann.press("#text", "Enter")
    for page in (bob, cid):
        expect(line(page, "message", "ann")).to_contain_text(MARKUP)
        assert page.locator("#messages img").count() == 0

    bob.click("#people li[data-name=cid] [data-action=private]")
    bob.fill("#text", "for cid alone")
    bob.click("#send")
    expect(line(cid, "private", "bob")).to_contain_text("for cid alone")
    bob.click("#people li[data-name=ann] [data-action=whois]")
    known = "ann is at 127." if way == "direct" else "Nobody here knows the address of ann"
    expect(bob.locator("#messages")).to_contain_text(known)

    cid.click("#leave")
    people(ann, "ann", "bob")
    # What the page does when its window is closed; a busy browser may end it before it has.
    bob.evaluate("dispatchEvent(new Event('pagehide'))")
    people(ann, "ann")
    assert "for cid alone" not in ann.text_content("#messages")


def test_the_keyboard_keeps_its_place_when_the_list_of_people_changes(site, window):
    site.backend("chat", "-w", "-q", program="websocket_chat")
    site.start()
    ann, bob, abe = (window("webchat.html") for _ in range(3))
    join(ann, "ann")
    join(bob, "bob")
    whois = ann.locator("#people li[data-name=bob] [data-action=whois]")
    whois.focus()
    join(abe, "abe")
    people(ann, "ann", "abe", "bob")
    expect(whois).to_be_focused()
    ann.press("#people li[data-name=bob] [data-action=whois]", "Shift+Tab")
    expect(ann.locator("#people li[data-name=bob] [data-action=private]")).to_be_focused()


def test_each_person_has_a_colour_of_its_own_and_own_lines_are_told_apart(site, window):
    site.backend("chat", "-w", "-q", program="websocket_chat")
    site.start()
    pages = [window("webchat.html") for _ in range(4)]
    for page, nick in zip(pages, ("ann", "bob", "cid", "dot")):
        page.fill("#color", "#0b6bcb")
        join(page, nick)
    ann = pages[0]
    people(ann, "ann", "bob", "cid", "dot")
    for page in pages:
        page.fill("#text", "hello")
        page.press("#text", "Enter")
    for nick in ("ann", "bob", "cid", "dot"):
        expect(line(ann, "message", nick)).to_contain_text("hello")
    own = "nodes => nodes.map(node => node.style.getPropertyValue('--own'))"
    colours = ann.eval_on_selector_all("#messages li[data-kind=message]", own)
    assert len(set(colours)) == 4 and "#0b6bcb" in colours, colours
    assert sorted(colours) == sorted(ann.eval_on_selector_all("#people li", own))
    expect(ann.locator("#messages li[data-own]")).to_have_count(1)
    expect(ann.locator("#messages li[data-own]")).to_contain_text("ann (you)")


def test_whois_tells_what_the_gateway_passes_on(site, window):
    site.backend("chat", "-w", "-q", "-P", program="websocket_chat")
    site.start(websocket='proxy = "v2";')
    ann, bob = window("webchat.html"), window("webchat.html")
    join(ann, "ann")
    join(bob, "bob")
    ann.click("#people li[data-name=bob] [data-action=whois]")
    expect(ann.locator("#messages")).to_contain_text("bob is at 127.0.0.1")


def test_what_was_for_one_who_left_is_sent_to_nobody(site, window):
    site.backend("chat", "-w", "-q", program="websocket_chat")
    site.start()
    ann, bob, cid = (window("webchat.html") for _ in range(3))
    for page, nick in ((ann, "ann"), (bob, "bob"), (cid, "cid")):
        join(page, nick)
    people(ann, "ann", "bob", "cid")
    ann.click("#people li[data-name=bob] [data-action=private]")
    ann.fill("#text", "the secret")
    bob.click("#leave")
    people(ann, "ann", "cid")
    ann.press("#text", "Enter")
    expect(ann.locator("#messages li").last).to_contain_text("bob is not here: nothing was sent")
    expect(ann.locator("#text")).to_have_value("the secret")
    ann.select_option("#to", label="everyone")
    ann.fill("#text", "for all")
    ann.press("#text", "Enter")
    expect(line(cid, "message", "ann")).to_contain_text("for all")
    assert "secret" not in cid.text_content("#messages")
    expect(ann.locator("#to option")).to_have_text(["everyone", "cid"])


def test_nobody_else_speaks_for_the_server(site, window):
    site.backend("chat", "-w", "-q", program="websocket_chat")
    site.start()
    ann = window("webchat.html")
    join(ann, "ann")
    with connect(site.url("chat")) as mallory:
        mallory.send("WSWelcome mallory")
        mallory.send("WSIs ann 192.0.2.66")
        for name in ("ann", "a b", "{}", "", "x" * 30, *(f"n{number}" for number in range(120))):
            mallory.send(json.dumps({"type": "hello", "id": name, "data": {}}))
        mallory.send("the end")
        expect(ann.locator("#messages")).to_contain_text("the end")
    said = ann.locator("#messages li[data-from=someone] .text")
    expect(said).to_have_text(["WSWelcome mallory", "WSIs ann 192.0.2.66", "the end"])
    people(ann, "ann", *sorted(f"n{number}" for number in range(100)))


def test_a_taken_nickname_gets_digits(site, window, way):
    site.serve(way, "chat", "-w", program="websocket_chat")
    first, second = window("webchat.html"), window("webchat.html")
    join(first, "ann")
    join(second, "ann")
    expect(second.locator("#messages")).to_contain_text("ann is here already: you are ann0")


def test_a_page_comes_back_when_its_server_does(site, window):
    site.backend("chat", "-w", "-q", program="websocket_chat")
    server = site.processes[-1]
    site.start()
    page = window("webchat.html")
    join(page, "ann")
    page.evaluate("""() => {
        window.statesSeen = [];
        new MutationObserver(() => statesSeen.push(byId('state').textContent)).observe(byId('state'), { childList: true });
    }""")
    server.terminate()
    server.wait()
    tried = "statesSeen.some(text => text.startsWith('Closed with 1') && text.includes('trying again in'))"
    wait_until("the page to try again", lambda: page.evaluate(tried))
    site.backend("chat", "-w", "-q", program="websocket_chat")
    expect(page.locator("#send")).to_be_enabled()


def test_a_user_is_created_signed_in_changed_and_removed(site, window, tmp_path, way):
    options = ["-L", RELEASE / "libauthrpc.so", "-C", f"{tmp_path}/users.db;root=admin"]
    site.serve(way, "auth", *options, program="websocket_jsonrpc")
    page = window("webauth.html")
    newest = page.locator("#log li").first
    password = site.first_password()

    def press(button, words, kind="received"):
        page.click(button)
        expect(newest).to_contain_text(words)
        expect(newest).to_have_attribute("data-kind", kind)

    expect(page.locator("#auth")).to_be_enabled()

    def create(user, password):
        page.fill("#newuser", user)
        page.fill("#newpasswd", password)
        press("#adduser", f"adduser {user}: user added")
        expect(page.locator("#newpasswd")).to_have_value("")

    page.fill("#user", "admin")
    page.fill("#passwd", password)
    press("#auth", "auth admin: ")
    expect(page.locator("#whoami")).to_have_text("admin (root)")

    create("ann", "another secret")
    page.fill("#user", "ann")
    page.fill("#passwd", "another secret")
    page.fill("#new", "a third secret")
    page.fill("#confirm", "not the same")
    press("#change-passwd", "confirm new password", "error")
    page.fill("#confirm", "a third secret")
    press("#change-passwd", "passwd ann: password changed")

    # In the fields of a new account Enter makes it; a wrong password signs nobody out.
    page.fill("#newuser", "bob")
    page.fill("#newpasswd", "a third secret")
    page.press("#home", "Enter")
    expect(newest).to_contain_text("adduser bob: user added")
    page.fill("#user", "bob")
    page.fill("#passwd", "a wrong secret")
    page.press("#passwd", "Enter")
    expect(newest).to_contain_text("auth bob: user or password not found")
    expect(page.locator("#whoami")).to_have_text("admin (root)")

    def remove(user):
        page.fill("#user", user)
        # The question is forgotten after five seconds, which a busy machine may need for the answer.
        page.evaluate("byId('rmuser').click(); clearTimeout(ask.timer)")
        expect(page.locator("#rmuser")).to_have_text(f"Really remove {user}?")
        press("#rmuser", f"rmuser {user}: user removed")

    page.fill("#passwd", "a third secret")
    remove("bob")
    remove("ann")
    press("#auth", "user or password not found", "error")
    expect(page.locator("#whoami")).to_have_text("admin (root)")
    page.fill("#passwd", password)
    remove("admin")
    expect(page.locator("#whoami")).to_have_text("nobody")
    body = page.text_content("body")
    assert "secret" not in body and password not in body


def test_whoever_comes_first_is_told_how_the_first_user_is_made(site, window, tmp_path):
    options = ["-L", RELEASE / "libauthrpc.so", "-C", tmp_path / "users.db"]
    site.serve("packets", "auth", *options, program="websocket_jsonrpc")
    page = window("webauth.html")
    expect(page.locator("#auth")).to_be_enabled()
    page.fill("#newuser", "mine")
    page.fill("#newpasswd", "a secret")
    page.click("#adduser")
    newest = page.locator("#log li").first
    expect(newest).to_contain_text("there is no user yet: start websocket_jsonrpc with -C")
    expect(newest).to_have_attribute("data-kind", "error")


def test_sql_makes_a_table_and_shows_its_rows(site, window, tmp_path, way):
    options = ["-L", RELEASE / "libjsonsql.so", "-C", tmp_path / "data.db"]
    site.serve(way, "sql", *options, program="websocket_jsonrpc")
    page = window("websql.html")
    message = page.locator("#message")

    def run(query):
        page.fill("#query", query)
        page.press("#query", "Control+Enter")

    expect(page.locator("#run")).to_be_enabled()
    run("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT)")
    expect(message).to_have_text("Query OK")
    run(f"INSERT INTO things (name) VALUES ('{MARKUP}'), (NULL)")
    expect(page.locator("#log li")).to_have_count(2)
    page.click("#tables button[data-table=things]")
    rows = page.locator("#result tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first.locator("td").nth(1)).to_have_text(MARKUP)
    expect(rows.last.locator("td").nth(1)).to_have_text("NULL")
    assert page.locator("#result img").count() == 0
    run("SELECT -9007199254740993 AS n, 1.5 AS n")
    expect(rows.locator("td")).to_have_text(["-9007199254740993", "1.5"])
    run("SELEC 1")
    expect(message).to_contain_text("syntax error")


def test_numbers_stand_on_the_right_under_their_header(site, window, tmp_path):
    options = ["-q", "-L", RELEASE / "libjsonsql.so", "-C", tmp_path / "data.db"]
    site.backend("sql", *options, program="websocket_jsonrpc")
    site.start()
    page = window("websql.html")
    expect(page.locator("#run")).to_be_enabled()
    page.fill("#query", "SELECT 1 AS n, 'one' AS word UNION ALL SELECT NULL, 'none'")
    page.click("#run")
    expect(page.locator("#result tbody tr")).to_have_count(2)
    expect(page.locator("#result caption")).to_have_text("2 rows")
    aligned = "e => [...e.querySelectorAll('th, td')].map(c => getComputedStyle(c).textAlign)"
    wait_until("columns", lambda: page.eval_on_selector("#result", aligned) == ["right", "left"] * 3)
    page.fill("#query", "SELECT 1")
    page.click("#run")
    expect(page.locator("#result caption")).to_have_text("1 row")


def test_an_echo_is_the_same(site, window, way):
    site.serve(way, "echo")
    page = window("console.html")
    newest = page.locator("#log li[data-kind=received]").first
    expect(page.locator("#state")).to_have_attribute("data-state", "open")
    for kind in ("text", "binary"):
        page.fill("#text", MARKUP)
        page.select_option("#kind", kind)
        page.click("#send")
        expect(newest).to_have_attribute("data-bytes", str(len(MARKUP.encode())))
        expect(newest).to_have_attribute("data-same", "yes")
        expect(newest).to_have_attribute("data-type", kind)
    page.click("summary")
    page.click("#sendlarge")
    expect(newest).to_have_attribute("data-bytes", str(1 << 20))
    expect(newest).to_have_attribute("data-same", "yes")
    assert page.locator("#log img").count() == 0
    page.fill("#closecode", "4321")
    page.click("#close")
    closed = page.locator("#log li[data-kind=closed]").first
    expect(closed).to_have_attribute("data-code", "4321")


@pytest.mark.parametrize(("touch", "shown"), [(True, False), (False, True)])
def test_keys_are_named_where_there_is_a_keyboard_and_one_byte_is_one_byte(browser, site, touch, shown):
    site.backend("echo")
    site.start()
    page = new_page(browser, has_touch=touch, is_mobile=touch, viewport=PHONE)
    for path in ("console.html", "websql.html"):
        page.goto(site.url(path, "http"))
        expect(page.locator(".keys")).to_be_visible(visible=shown)
    page.goto(site.url("console.html", "http"))
    expect(page.locator("#state")).to_have_attribute("data-state", "open")
    page.fill("#text", "x")
    page.click("#send")
    expect(page.locator("#log li[data-kind=received]").first).to_contain_text("1 byte")
    expect(page.locator("#log")).not_to_contain_text("1 bytes")
    page.close()


def test_the_overview_tells_which_services_answer(site, window):
    site.backend("echo")
    site.backend("sql")
    # Its socket stays behind.
    site.processes[-1].kill()
    site.processes[-1].wait()
    site.start()
    page = window("index.html")
    expect(page.locator("[data-service=echo]")).to_have_attribute("data-state", "open")
    expect(page.locator("[data-service=sql]")).to_have_attribute("data-reason", "stopped")
    expect(page.locator("[data-service=sql]")).to_contain_text("sql is not running")
    expect(page.locator("[data-service=chat]")).to_have_attribute("data-reason", "absent")
    page.click("h2 a[href='console.html']")
    expect(page).to_have_title("Console · ouistiti")
    expect(page.locator("nav")).to_be_visible()


def test_the_status_page_shows_each_client_live(site, window):
    site.backend("echo")
    site.start(websocket='links = ( { origin = "-status"; type = "status"; } );')
    page = window("status.html")
    rows = page.locator("#clients tr")
    expect(rows.filter(has_text="-status")).to_have_count(1)
    expect(page.locator("#summary")).to_contain_text(f":{site.port}: ")
    with connect(site.url("echo")) as client:
        client.send("12345")
        assert client.recv(timeout=DEADLINE) == "12345"
        row = rows.filter(has_text="echo")
        expect(row).to_contain_text("5 bytes")
        expect(row).to_contain_text("open")
    expect(rows.filter(has_text="echo")).to_have_count(0)
    expect(page.locator("#counts")).to_contain_text("Closed: 1000: 1")
