"""From a clone to the first message of one's own: the two commands of README.md, and its picture.

    tests/picture    makes tests/data/console.png anew
"""

import base64
import contextlib
import html
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading

from playwright.sync_api import expect

from chromium import chromium, new_page
from conftest import DEADLINE, ROOT

# A terminal with what was typed and what came, above the browser's window.
PICTURE = """<!DOCTYPE html><meta charset="utf-8">
<style>
body {{ margin: 0; background: #f5f7f9; }}
pre {{ margin: 0; padding: 20px 36px; background: #10141a; color: #d7dde5; font: 15px/1.6 "DejaVu Sans Mono", monospace; }}
b {{ color: #6bdb9b; font-weight: normal; }}
img {{ display: block; }}
</style>
<pre>{lines}</pre><img src="data:image/png;base64,{shot}">"""


def own_program():
    """The program of the README, and the commands that bring it into a browser."""
    section = (ROOT / "README.md").read_text().split("\n## ", 2)[1]
    program = re.search(r"\n((?:    .*\n)+)", section).group(1)
    commands = re.search(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL).group(1)
    return re.sub("^    ", "", program, flags=re.MULTILINE), commands.splitlines()


@contextlib.contextmanager
def serving(directory, command):
    """Runs a command that serves, where the README's program and the built ones are; its lines."""
    program, _ = own_program()
    path = directory / "hello.sh"
    path.write_text(program)
    path.chmod(0o755)
    (directory / "target").symlink_to(ROOT / "target")
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=directory, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )
    lines, is_open = [], threading.Event()

    def read():
        for line in process.stderr:
            lines.append(line.rstrip("\n"))
            if " open " in line:
                is_open.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert is_open.wait(DEADLINE), lines
        yield lines
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(DEADLINE)
        reader.join(DEADLINE)


def first_message(page, lines):
    """Opens the address that the start has told, and sends a message as a person does."""
    url = re.search(r" open (\S+)", "\n".join(lines)).group(1)
    page.goto(url)
    expect(page.locator("#state")).to_have_attribute("data-state", "open")
    page.fill("#text", "world")
    page.press("#text", "Enter")
    expect(page.locator("#log li[data-kind=received]").first).to_contain_text("Hello, world")


def picture(page, commands, lines, path):
    """Keeps a picture of the commands, what they said, and the page."""
    shot = base64.b64encode(page.screenshot()).decode()
    typed = [f"<b>$</b> {html.escape(command)}" for command in commands]
    said = [html.escape(line) for line in lines]
    # The page's policy allows none of what follows.
    page.goto("about:blank")
    page.set_content(PICTURE.format(lines="\n".join(typed + said), shot=shot))
    page.screenshot(path=path, full_page=True)


def main(path):
    """Makes the picture of the README, on the port that it names."""
    _, commands = own_program()
    with tempfile.TemporaryDirectory() as directory, chromium() as browser:
        page = new_page(browser, viewport={"width": 1000, "height": 860})
        with serving(pathlib.Path(directory), commands[-1]) as lines:
            first_message(page, lines)
            # Of somebody else's machine.
            said = [re.sub(" as [^,]+,", " as ann,", line).replace(directory, "/home/ann/ouistiti")
                    for line in lines]
            picture(page, commands, said, path)


if __name__ == "__main__":
    main(sys.argv[1])
