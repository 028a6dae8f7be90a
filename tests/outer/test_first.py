"""A newcomer's first minute: two commands after the clone, and a message of their own."""

from chromium import chromium, new_page
from conftest import RELEASE, free_address
from first import first_message, own_program, picture, serving


def test_two_commands_lead_from_a_clone_to_the_first_own_message(out, tmp_path):
    _, commands = own_program()
    assert len(commands) == 2 and commands[0] == "make", commands
    assert (RELEASE / "ouistiti").exists(), "what `make` makes"
    host, port = free_address()
    command = commands[1].replace(" 8080 ", f" {host}:{port} ")
    assert command != commands[1]
    with serving(tmp_path, command) as lines, chromium() as browser:
        page = new_page(browser, viewport={"width": 1000, "height": 860})
        first_message(page, lines)
        (out / "pages").mkdir(exist_ok=True)
        picture(page, [commands[0], command], lines, out / "pages" / "first.png")
    assert any(line.endswith("stopping") for line in lines), lines
