"""Chromium as the tests use it: whatever waits in it waits as long as a test does."""

import contextlib

from playwright.sync_api import expect, sync_playwright

from conftest import DEADLINE

# The pages give up a request after some seconds, and tell that the gateway has stopped. On a busy
# machine that says nothing.
ENDLESS = "AbortSignal.timeout = () => new AbortController().signal;"


@contextlib.contextmanager
def chromium(*options):
    """A headless Chromium with these options beside those that all tests need."""
    expect.set_options(timeout=DEADLINE * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu", *options],
            timeout=DEADLINE * 1000)
        try:
            yield browser
        finally:
            browser.close()


def new_page(browser, **options):
    """A window of its own in a browser; its options are those of Playwright's `new_page`."""
    page = browser.new_page(**options)
    page.set_default_timeout(DEADLINE * 1000)
    page.add_init_script(ENDLESS)
    return page
