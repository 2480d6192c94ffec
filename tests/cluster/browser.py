"""A real browser for the hub's pages: headless Chromium, axe-core, and pictures to look at.

Fixtures: `page` is a new browser window with its own cookies, `plain_page` one without JavaScript.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Error, Page, Playwright, expect, sync_playwright

from tests.cluster.hub import HubRunner, passwords

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # nodes and hub are names of this machine only
    "--no-proxy-server",
]
WIDE, NARROW = (1280, 900), (400, 800)
# Says where the pictures go; absent = a new folder, which the report names.
VARIABLE = "PANGEO_HPC_TEST_PICTURES"
# The time that a page, its scripts and the hub behind them have on a busy machine.
PATIENCE = 60_000
_place: list[Path] = []


def pictures() -> Path:
    """Return the folder of this run's pictures."""
    if not _place:
        given = os.environ.get(VARIABLE)
        place = Path(given) if given else Path(tempfile.mkdtemp(prefix="pangeo-hpc-pictures-"))
        place.mkdir(parents=True, exist_ok=True)
        _place.append(place)
    return _place[0]


def summary() -> list[str]:
    """Return the line of the report that says where the pictures are; none if none were taken."""
    return [f"pictures of the hub's pages: {_place[0]}"] if _place else []


# Per module: while the driver is there, its thread has a running loop, and asyncio.run has none.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Return the driver."""
    # five seconds are too short where an answer is that of a program which acts as a user
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """Return a browser with a new profile."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """Return a window of a browser that nobody used before; a script's error fails the test."""
    yield from window(chromium)


@pytest.fixture
def plain_page(chromium: Browser) -> Iterator[Page]:
    """Return a window without JavaScript."""
    yield from window(chromium, java_script_enabled=False)


def window(chromium: Browser, **how: Any) -> Iterator[Page]:
    """Yield a window; errors of the page's scripts are raised at its end."""
    width, height = WIDE
    context = chromium.new_context(viewport={"width": width, "height": height}, **how)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    wrong: list[str] = []

    def note(error: Error) -> None:
        # what runs in a user's server is not ours
        if "/user/" not in page.url:
            wrong.append(f"{page.url}: {error.stack or error}")

    page.on("pageerror", note)
    yield page
    context.close()
    assert not wrong, "\n".join(wrong)


def log_in(page: Page, hub: HubRunner, user: str, then: str = "/hub/home") -> None:
    """Log in through the page, and go on to another."""
    page.goto(f"{hub.url}/hub/login?next={then.replace('?', '%3F').replace('&', '%26')}")
    page.get_by_label("Username").fill(user)
    page.get_by_label("Password").fill(passwords()[user])
    page.get_by_role("button", name="Sign in").click()
    # the address of the login has it, too, as a parameter
    page.wait_for_url(lambda url: then.partition("?")[0] in urlparse(url).path)


def picture(page: Page, name: str, size: tuple[int, int] = WIDE, *, dark: bool = False) -> Path:
    """Take a picture of the whole page at a size, and return its file; dark ones need a script."""
    before = page.viewport_size
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.evaluate(
        "dark => document.documentElement.dataset.bsTheme = dark ? 'dark' : 'light'", dark
    )
    # what slides in is not yet to be seen
    page.evaluate(SETTLED)
    path = pictures() / f"{name}-{size[0]}{'-dark' if dark else ''}.png"
    page.screenshot(path=path, full_page=True)
    if dark:
        page.evaluate("document.documentElement.dataset.bsTheme = 'light'")
    if before is not None:
        page.set_viewport_size(before)
    return path


SETTLED = """
Promise.allSettled(
    document.getAnimations()
        .filter(animation => animation.effect.getComputedTiming().endTime < Infinity)
        .map(animation => animation.finished)
)
"""


def barriers(page: Page, within: str | None = None) -> list[str]:
    """Return what axe-core finds wrong for people who cannot see or use a mouse."""
    # a colour on its way from one to another is neither
    page.evaluate(SETTLED)
    found = Axe().run(page, context=within)
    return [
        f"{each['id']}: {each['help']}: {node['html'][:200]} {node.get('failureSummary', '')}"
        for each in found.response["violations"]
        for node in each["nodes"]
    ]
