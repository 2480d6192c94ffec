"""The spawn form in a real browser, at a real hub on the real cluster."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.cluster.browser import NARROW, WIDE, barriers, log_in, picture
from tests.cluster.hub import HubRunner, ensure_hub_machine
from tests.cluster.slurm import SlurmCluster


@pytest.fixture(scope="module")
def hub(cluster: SlurmCluster) -> Iterator[HubRunner]:
    """Return a running hub that serves alice and bob."""
    ensure_hub_machine()
    with HubRunner(cluster) as runner:
        yield runner


def test_look(hub: HubRunner, page: Page) -> None:
    """Look."""
    log_in(page, hub, "alice", "/hub/spawn")
    page.get_by_role("status").filter(has_text="start").wait_for()
    page.locator("#preview summary").click()
    picture(page, "form", WIDE)
    picture(page, "form", WIDE, dark=True)
    picture(page, "form", NARROW)
    page.get_by_role("button", name="What starts soonest?").click()
    page.locator("#offers-list button").first.wait_for()
    picture(page, "offers", NARROW)
    print(barriers(page))
