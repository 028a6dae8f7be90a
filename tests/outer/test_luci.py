"""The page of LuCI, with what a gateway prints, in Chromium. LuCI itself is stand-ins here."""

import json
import pathlib
import subprocess

from playwright.sync_api import expect

from chromium import chromium, new_page
from conftest import DEADLINE, GATEWAY, connect, wait_until

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGE = TOP / "package/openwrt/luci-app-ouistiti/htdocs/luci-static/resources/view/ouistiti/config.js"

# What the page calls. As LuCI's: a text in a list of children is a text, one by itself is HTML; %t
# and %m of its format are a number with a unit. Of the form there are the options' names only.
STANDINS = """(source, answers) => {
    window.polled = [];
    window.options = [];
    const asked = (program, words) => {
        window.asked = [program, ...words].join(' ');
        return Promise.resolve(answers.shift());
    };
    String.prototype.format = function (...values) {
        return this.replace(/%[0-9.]*([a-z])B?/g, (_, kind) =>
            values.shift() + ({ t: 's', m: 'B' }[kind] ?? ''));
    };
    const fill = (element, children) => {
        if (Array.isArray(children)) element.append(...children);
        else if (children instanceof Node) element.append(children);
        else if (children != null) element.innerHTML = children;
        return element;
    };
    const E = (name, attributes, children) => {
        if (Array.isArray(name)) return fill(document.createElement('div'), attributes);
        const element = document.createElement(name);
        for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
        return fill(element, children);
    };
    const table = (element, rows, placeholder) => {
        element.querySelectorAll('tr:not(.table-titles)').forEach((row) => row.remove());
        for (const row of rows.length ? rows : [[placeholder]])
            element.append(E('tr', {}, row.map((cell) => E('td', {}, cell))));
    };
    class Option {
        value() {}
        depends() {}
    }
    class Section {
        option(kind, name) {
            window.options.push(name);
            return new Option();
        }
    }
    class Map {
        section() { return new Section(); }
        render() { return Promise.resolve(E('form', {}, [])); }
    }
    const names = ['form', 'fs', 'poll', 'view', 'E', '_', 'cbi_update_table'];
    const own = new Function(...names, source)(
        { Map }, { exec: asked }, { add: (again) => window.polled.push(again) },
        { extend: (members) => members }, E, (text) => text, table);
    return own.load().then((state) => own.render(state)).then((page) => document.body.append(page));
}"""


def test_the_page_of_luci_shows_who_is_connected(site):
    site.backend("echo")
    control = site.directory / "control"
    site.launch(f"""
        control = "{control}";
        servers = ( {{
            addr = "{site.host}"; port = {site.port};
            websocket = {{ docroot = "{site.run}"; }};
        }} );
    """)
    program = [*GATEWAY, "-f", site.directory / "ouistiti.conf", "-S", "json"]
    ask = lambda: subprocess.run(program, capture_output=True, text=True).stdout
    wait_until("a state", lambda: ask())
    nobody = ask()
    with connect(site.url("echo")) as client:
        client.send("12345")
        assert client.recv(timeout=DEADLINE) == "12345"
        wait_until("the bytes to be counted", lambda: '"bytes_to_client":5' in ask())
        somebody = ask()
    hostile = json.loads(somebody)
    hostile["servers"][0]["clients"][0]["user"] = "<img src=x onerror='window.broken = 1'>"
    answers = [{"code": 0, "stdout": text} for text in (somebody, nobody, json.dumps(hostile))]
    answers.append({"code": 1, "stdout": ""})
    with chromium() as browser:
        page = new_page(browser)
        page.evaluate(f"([source, answers]) => ({STANDINS})(source, answers)", [PAGE.read_text(), answers])
        row = page.locator("tr").nth(1)
        cells = row.locator("td")
        expect(cells.nth(0)).to_contain_text("127.0.0.1:")
        expect(cells.nth(1)).to_have_text("echo")
        expect(cells.nth(2)).to_have_text("-")
        expect(cells.nth(6)).to_have_text("5B")
        expect(page.locator("p")).to_contain_text("1 connected of 200")
        assert page.evaluate("window.asked") == "/usr/sbin/ouistiti -f /var/etc/ouistiti.conf -S json"
        again = lambda: page.evaluate("window.polled[0]()")
        again()
        expect(row).to_have_text("Nobody.")
        again()
        expect(cells.nth(2)).to_have_text("<img src=x onerror='window.broken = 1'>")
        assert page.locator("img").count() == 0
        again()
        expect(row).to_contain_text("does not run")
        known = page.evaluate("window.options")
    # Each option of the page is one that the script reads.
    script = (TOP / "init/ouistiti.procd").read_text()
    for name in known:
        assert f" {name}" in script, name
