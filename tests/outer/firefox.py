"""Firefox without a driver program: it speaks WebDriver BiDi over a WebSocket by itself.

Only what the tests need of https://www.w3.org/TR/webdriver-bidi/.
"""

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading

from conftest import DEADLINE, connect, wait_until

# The first number of the commands whose answers nobody waits for.
LOGINS = 1 << 30

# Keys by their code points (WebDriver, section 17.4.2).
CONTROL, ENTER = "\ue009", "\ue006"


class Firefox:
    """A headless Firefox with a profile of its own."""

    def __init__(self, directory):
        program = shutil.which("firefox-esr")
        assert program, "no firefox-esr: tests/setup installs it"
        self.said = []
        self.process = subprocess.Popen(
            [program, "--headless", "--no-remote", "--profile", directory,
             "--remote-debugging-port", "0"],
            env={**os.environ, "HOME": str(directory)}, start_new_session=True, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        reader = threading.Thread(target=lambda: self.said.extend(self.process.stderr), daemon=True)
        reader.start()
        wait_until("Firefox to listen", lambda: self.address() or self.process.poll() is not None)
        assert self.address(), "Firefox did not start:\n" + "".join(self.said)
        self.stack = contextlib.ExitStack()
        self.socket = self.stack.enter_context(
            connect(f"{self.address()}/session", max_size=None, compression=None, ping_interval=None))
        self.last = 0
        # What went wrong in a script of a page, or asked for an answer.
        self.errors = []
        # The addresses for which a login was asked for, and what a person types then.
        self.asked = []
        self.login = None
        self.call("session.new", capabilities={})
        self.call("session.subscribe", events=["log.entryAdded", "browsingContext.userPromptOpened"])

    def address(self):
        """Where Firefox listens, once it has said so."""
        found = re.search(r"listening on (ws://\S+)", "".join(self.said))
        return found and found[1]

    def call(self, method, **params):
        """Runs a command; its result."""
        self.last += 1
        self.socket.send(json.dumps({"id": self.last, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv(timeout=DEADLINE))
            if message["type"] == "event":
                self.heed(message["method"], message["params"])
            elif message["id"] == self.last:
                assert message["type"] == "success", f"{method}: {message}"
                return message["result"]

    def answer_logins(self, user, password):
        """From now on a person types these where Firefox asks for a login; with None, cancels."""
        if self.login is None:
            self.call("session.subscribe", events=["network.authRequired"])
            self.call("network.addIntercept", phases=["authRequired"])
        self.login = (user, password)

    def heed_login(self, request):
        """Answers a request for a login without waiting: another command waits already."""
        self.asked.append(request["url"])
        user, password = self.login
        answer = {"request": request["request"], "action": "cancel"}
        if user is not None:
            typed = {"type": "password", "username": user, "password": password}
            answer |= {"action": "provideCredentials", "credentials": typed}
        number = LOGINS + len(self.asked)
        self.socket.send(json.dumps({"id": number, "method": "network.continueWithAuth", "params": answer}))

    def heed(self, event, params):
        """Keeps what fails a test."""
        if event == "network.authRequired":
            self.heed_login(params["request"])
        elif event == "browsingContext.userPromptOpened":
            self.errors.append(f"a page asked: {params['message']}")
        elif params["type"] == "javascript" and params["level"] == "error":
            self.errors.append(params["text"])

    def open(self, url, width=1280, height=800):
        """A window of its own, with the page loaded."""
        context = self.call("browsingContext.create", type="window")["context"]
        self.call("browsingContext.setViewport", context=context,
                  viewport={"width": width, "height": height})
        self.call("browsingContext.navigate", context=context, url=url, wait="complete")
        return Window(self, context)

    def stop(self):
        """Ends Firefox with all its processes."""
        self.stack.close()
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Window:
    """One window, used with pointer and keyboard."""

    def __init__(self, firefox, context):
        self.firefox = firefox
        self.context = context

    def call(self, method, **params):
        """A command for this window."""
        return self.firefox.call(method, context=self.context, **params)

    def evaluate(self, expression):
        """The value of an expression: a string, number or boolean."""
        result = self.firefox.call("script.evaluate", expression=expression, awaitPromise=True,
                                   target={"context": self.context})
        assert result["type"] == "success", f"{expression}: {result.get('exceptionDetails')}"
        return result["result"].get("value")

    def wait(self, expression):
        """Returns when the expression is true."""
        try:
            wait_until(expression, lambda: self.evaluate(f"Boolean({expression})"))
        except AssertionError as late:
            late.add_note(self.evaluate("document.body.innerText"))
            raise

    def text(self, selector):
        """The text of an element."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")

    def wait_for_text(self, selector, words):
        """Returns when an element, the last of its kind, has these words in it."""
        element = f"[...document.querySelectorAll({json.dumps(selector)})].at(-1)"
        self.wait(f"({element}?.textContent ?? '').includes({json.dumps(words)})")

    def click(self, selector):
        """Presses the pointer's button over an element that can be pressed."""
        self.wait(f"document.querySelector({json.dumps(selector)})?.matches(':not(:disabled)')")
        self.evaluate(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        nodes = self.call("browsingContext.locateNodes", locator={"type": "css", "value": selector})["nodes"]
        element = {"type": "element", "element": {"sharedId": nodes[0]["sharedId"]}}
        self.call("input.performActions", actions=[{
            "type": "pointer", "id": "pointer", "actions": [
                {"type": "pointerMove", "x": 0, "y": 0, "origin": element},
                {"type": "pointerDown", "button": 0},
                {"type": "pointerUp", "button": 0},
            ]}])

    def press(self, *keys):
        """Presses keys one after the other and lets them go in the other order."""
        actions = [{"type": "keyDown", "value": key} for key in keys]
        actions += [{"type": "keyUp", "value": key} for key in reversed(keys)]
        self.call("input.performActions", actions=[{"type": "key", "id": "keys", "actions": actions}])

    def type(self, selector, text):
        """Types over what is in a field."""
        self.click(selector)
        self.evaluate(f"document.querySelector({json.dumps(selector)}).select()")
        actions = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self.call("input.performActions", actions=[{"type": "key", "id": "keys", "actions": actions}])

    def screenshot(self, path):
        """Writes a picture of the whole page."""
        picture = self.call("browsingContext.captureScreenshot", origin="document")["data"]
        path.write_bytes(base64.b64decode(picture))

    def close(self):
        """Closes the window."""
        self.call("browsingContext.close")
