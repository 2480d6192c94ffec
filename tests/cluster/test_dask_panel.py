"""Dask's panel in a real JupyterLab (dask-labextension): it finds our dashboards and shows them."""

import json
from collections.abc import Iterator
from contextlib import suppress

import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as TooSlow

from tests.cluster.browser import picture
from tests.cluster.daemons import wait_until
from tests.cluster.sites import CommandLine
from tests.cluster.test_dask_security import BARS, kernels_end
from tests.cluster.test_lab import tunnelled

CELL = """\
import time, pangeo_hpc
cluster = pangeo_hpc.start_cluster(
    where="local", workers=1, cores=1, memory="500 MiB", name="panel"
)
client = cluster.get_client()
def step(number):
    time.sleep(0.1)
    return number
futures = client.map(step, range(2000))
print("the link is", cluster.dashboard_link)
"""
NAME = "panel.ipynb"
NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code", "execution_count": None, "id": "one", "metadata": {},
            "outputs": [], "source": CELL,
        }
    ],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_lab_is_left(cli: CommandLine) -> Iterator[None]:
    """End what a failed test leaves."""
    yield
    for row in cli.json("lab", "list")["labs"]:
        cli("lab", "stop", row["lab"])


def test_the_panel_finds_the_dashboard_of_a_notebook(cli: CommandLine, page: Page) -> None:
    """The magnifying glass finds the link, and a click opens the plot of the tasks in a tab.

    Clusters are no matter of the panel: its own would be open to others on the node.
    """
    notebook = cli.script(NAME, json.dumps(NOTEBOOK))
    _, url = cli("lab", "start", "--cores", "2").stdout.splitlines()
    browser = tunnelled(cli, url)
    page.goto(
        f"http://{browser.place}/lab/tree/{notebook.name}?reset&token={browser.token}",
        wait_until="commit",
    )
    cell = page.locator(".jp-Notebook .jp-Cell .cm-content")
    cell.click(timeout=120_000)
    idle = page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")
    expect(idle).to_be_attached(timeout=120_000)
    cell.click()  # what was shown meanwhile may have the keyboard
    page.keyboard.press("Shift+Enter")
    said = page.locator(".jp-OutputArea-output").filter(has_text="the link is")
    expect(said).to_be_visible(timeout=150_000)
    link = said.inner_text().rpartition("the link is ")[2].strip()
    assert link.startswith("/pangeo-dask/panel-") and link.endswith("/status")

    tab = page.locator("[data-id=dask-dashboard-launcher]")
    panel = page.locator("#dask-dashboard-launcher")
    address = panel.get_by_placeholder("DASK DASHBOARD URL")
    plot = panel.get_by_role("button", name="Task Stream", exact=True)
    shown = page.locator("iframe[src*=individual-task-stream]")

    place = link.removesuffix("status")

    def opens() -> bool:
        # JupyterLab may restore an open panel, with the link of another day, at any moment, and
        # take away what is being clicked
        with suppress(TooSlow):
            if not panel.is_visible():
                tab.click(timeout=5_000)
            elif not address.input_value(timeout=5_000).endswith(place):
                panel.get_by_title("Auto-detect dashboard URL").click(timeout=5_000)
            elif plot.is_visible() and plot.is_enabled():
                plot.click(timeout=5_000)
        return shown.count() > 0

    assert wait_until(opens, 120, every=1)
    frame = shown.element_handle(timeout=60_000).content_frame()
    assert frame is not None
    frame.wait_for_function(BARS, timeout=90_000)
    assert frame.url.startswith(f"http://{browser.place}{place}individual-")
    picture(page, "dask-panel")

    assert not panel.get_by_text("CLUSTERS", exact=True).is_visible()
    assert browser.ask("/dask/clusters", method="PUT", body={}) == 500
    assert browser.ask("/dask/clusters") == []
    kernels_end(browser)
    cli("lab", "stop")
