"""JupyterLab in a real browser: the time left, warnings that save, and the word before a stop."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.cluster.browser import NARROW, barriers, log_in, picture
from tests.cluster.daemons import tail, wait_until
from tests.cluster.hub import HubRunner, ensure_hub_machine
from tests.cluster.slurm import SlurmCluster
from tests.cluster.users import ClusterUser

AFTER = 50
RUN = (
    "import os; e = os.environ; print(42, 'on', e['SLURMD_NODENAME'], 'of job', e['SLURM_JOB_ID'])"
)
TYPED = "x = 42  # nobody pressed save"
TOAST = ".jp-Notification-Toast-warning"
ITEM = "[data-pangeo-hpc=time-left]"
CELL = {
    "cell_type": "code", "execution_count": None, "id": "one", "metadata": {}, "outputs": [],
    "source": "",
}  # fmt: skip
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
NOTEBOOK = {"cells": [CELL], "metadata": {"kernelspec": KERNEL}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture(scope="module")
def hub(cluster: SlurmCluster) -> Iterator[HubRunner]:
    """Return a hub that stops idle servers soon."""
    ensure_hub_machine()
    with HubRunner(cluster, extra_hub=f"  idle: {{after: {AFTER} seconds}}\n") as runner:
        yield runner


@pytest.fixture
def notebook(alice: ClusterUser, cluster: SlurmCluster) -> Iterator[Path]:
    """Return a notebook of alice's with one empty cell; other clusters share her home."""
    path = alice.home / f"warned-{cluster.mark}.ipynb"
    path.write_text(json.dumps(NOTEBOOK))
    os.chown(path, alice.uid, alice.gid)
    yield path
    path.unlink(missing_ok=True)


def test_from_the_login_to_a_number(
    hub: HubRunner, cluster: SlurmCluster, notebook: Path, page: Page
) -> None:
    """A person logs in, is refused with a wrong password, starts a server and runs a cell.

    The refusal is readable for everybody. What the cell prints comes from the node of the job, and
    leaving stops the job.
    """
    hub.begin_anew("alice")
    page.goto(f"{hub.url}/hub/login")
    picture(page, "login")
    picture(page, "login", NARROW, dark=True)
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#login-main")).to_contain_text("Invalid username or password")
    assert barriers(page, "form") == []
    picture(page, "login-refused")
    log_in(page, hub, "alice", "/hub/spawn?node_type=compute&cores=1")
    page.get_by_role("button", name="Start server").click()
    page.wait_for_url("**/user/alice/lab**", timeout=240_000, wait_until="commit")
    page.goto(f"{hub.url}/user/alice/lab/tree/{notebook.name}", wait_until="commit")
    cell = page.locator(".jp-Notebook .jp-Cell .cm-content")
    cell.click(timeout=120_000)
    idle = page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")
    expect(idle).to_be_attached(timeout=120_000)
    page.keyboard.type(RUN)
    page.keyboard.press("Shift+Enter")
    node = cluster.admin(["squeue", "-h", "-o", "%N"]).strip()
    output = page.locator(".jp-OutputArea-output")
    expect(output.first).to_contain_text(f"42 on {node} of job {job(cluster)}", timeout=60_000)
    assert page.get_by_text("Jupyter news").count() == 0, "a question that is not ours"
    picture(page, "lab-executed")
    page.goto(f"{hub.url}/hub/home")
    page.get_by_role("button", name="Stop My Server").click()
    assert wait_until(lambda: not job(cluster), 120), tail(hub.log, 60)
    expect(page.get_by_role("button", name="Start My Server")).to_be_visible(timeout=60_000)


@pytest.mark.timeout(1200)
def test_a_warning_saves_and_an_idle_server_asks_first(
    hub: HubRunner, cluster: SlurmCluster, notebook: Path, page: Page
) -> None:
    """The status bar tells the job's end; what was typed is saved; one click keeps the server."""
    hub.begin_anew("alice")
    browser = hub.client("alice")
    assert browser.spawn("alice", options={"node_type": "compute", "cores": 2}) in (201, 202)

    def ready() -> bool:
        return bool((browser.server("alice") or {}).get("ready"))

    assert wait_until(ready, 180, every=0.5), tail(hub.log, 60)
    log_in(page, hub, "alice")
    # the page's own clock ticks by the same end
    expect(page.locator("td[data-ends]")).to_have_text("9 min")
    assert barriers(page, "[aria-labelledby=pangeo-hpc-servers]") == []
    picture(page, "home-with-a-server")
    page.goto(f"{hub.url}/user/alice/lab/tree/{notebook.name}", wait_until="commit")
    expect(page.locator(ITEM)).to_have_text("9 min left", timeout=120_000)
    toasts = page.locator(TOAST)
    expect(toasts).to_contain_text("This server ends in 9 minutes")
    # read out by screen readers
    assert toasts.get_by_role("alert").count() == 1

    cell = page.locator(".jp-Notebook .jp-Cell .cm-content")
    cell.click()
    page.keyboard.type(TYPED)
    assert TYPED not in notebook.read_text()
    limit = f"TimeLimit={minutes(cluster) + 4}"
    cluster.admin(["scontrol", "update", f"JobId={job(cluster)}", limit])
    warned = re.compile(r"ends in [23] minutes.*\. 1 open file with changes was saved\.")
    expect(toasts.filter(has_text=warned)).to_have_count(1, timeout=90_000)
    # one notice at a time: this one took the place of the first
    expect(toasts).to_have_count(1)
    assert TYPED in notebook.read_text()
    expect(page.locator(ITEM)).to_have_text(_clock())
    picture(page, "lab-warned")

    cluster.admin(["scontrol", "update", f"JobId={job(cluster)}", "TimeLimit=30"])
    expect(toasts).to_contain_text("Nothing has run here", timeout=(AFTER + 60) * 1000)
    picture(page, "lab-idle")
    page.get_by_role("button", name="Keep it running").click()
    expect(toasts).to_have_count(0)
    # it was about to be stopped, and asks again instead
    expect(toasts).to_contain_text("Nothing has run here", timeout=(AFTER + 60) * 1000)
    assert job(cluster)
    assert wait_until(lambda: not job(cluster), AFTER + 90, every=1), tail(hub.log, 60)


def job(cluster: SlurmCluster) -> str:
    """Return the only job in the queue, empty if there is none."""
    return cluster.admin(["squeue", "-h", "-o", "%i"]).strip()


def minutes(cluster: SlurmCluster) -> int:
    """Return how many whole minutes the only job has run."""
    return int(cluster.admin(["squeue", "-h", "-o", "%M"]).strip().split(":")[-2])


def _clock() -> "re.Pattern[str]":
    return re.compile(r"[23]:[0-5]\d left")
