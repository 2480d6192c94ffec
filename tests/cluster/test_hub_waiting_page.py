"""The waiting page and the failure page in a real browser, with and without JavaScript."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Page, expect

from tests.cluster.browser import NARROW, WIDE, barriers, log_in, picture
from tests.cluster.daemons import wait_until
from tests.cluster.failing import go_on
from tests.cluster.hub import AT_ONCE, HubRunner, ensure_hub_machine
from tests.cluster.slurm import SlurmCluster

NODE_TYPES = """\
  brief: {queue: compute, cores: 1, memory: 500 MiB, max_memory: 2 GiB, walltime: "00:10:00",
    setup: ["until [ -e GO_ON ]; do sleep 1; done", "/opt/is-not-there/bin/python"]}
"""
# what stands in for the desktop: a page's notes are kept where the test finds them
DESKTOP = """
window.notes = [];
window.asked = 0;
window.Notification = class {
  static permission = sessionStorage.getItem("allowed") || "default";
  static async requestPermission() {
    window.asked += 1;
    sessionStorage.setItem("allowed", "granted");
    return (Notification.permission = "granted");
  }
  constructor(text) {
    window.notes.push(text);
    sessionStorage.setItem("note", text);
  }
};
"""
# How long a server that runs may be silent; time in the queue does not count.
PATIENCE = 90
WAITS = {"node_type": "compute", "cores": 1, "memory": "1 GiB"}


@pytest.fixture(scope="module")
def hub(cluster: SlurmCluster) -> Iterator[HubRunner]:
    """Return a hub that asks every two seconds, and gives servers less time than some wait."""
    ensure_hub_machine()
    config = AT_ONCE
    config += f"c.SiteSpawner.report_timeout = {PATIENCE}\n"
    types = NODE_TYPES.replace("GO_ON", str(go_on(cluster)))
    with HubRunner(cluster, extra_node_types=types, extra_config=config) as runner:
        yield runner


def test_waiting_until_it_is_ready(hub: HubRunner, page: Page) -> None:
    """One line that is read out when it changes, ticking times, a note on the desktop, the server.

    It waited longer than a server that runs may be silent: time in the queue does not count.
    Nothing is asked of the desktop before its button is pressed, and a reload changes nothing.
    """
    hub.begin_anew("alice")
    page.add_init_script(DESKTOP)
    log_in(page, hub, "alice")
    page.goto(
        hub.url + hub.waiting_page("ready", **WAITS, **{"option.begin": f"now+{PATIENCE + 5}"})
    )
    line = page.locator("#waiting-line")
    expect(line).to_contain_text("waits in the queue compute")
    expect(line).to_contain_text("has not come yet")
    assert line.get_attribute("aria-live") == "polite"
    expect(page.locator("#waiting-words")).to_contain_text("BeginTime")
    expect(page.locator("#waiting-estimated")).to_contain_text(
        re.compile(r"in (\d+ minutes?|\d+ seconds)")
    )
    first = page.locator("#waiting-elapsed").inner_text()
    expect(page.locator("#waiting-elapsed")).not_to_have_text(first)
    expect(page).to_have_title(re.compile(r"^Waiting 0:0"))
    assert barriers(page) == []
    picture(page, "waiting", WIDE)
    picture(page, "waiting", NARROW, dark=True)
    assert barriers(page) == []
    assert page.evaluate("window.asked") == 0
    page.get_by_role("button", name="Tell me when it is ready").click()
    expect(page.locator("#waiting-told")).to_contain_text("will tell you")
    page.reload()
    expect(line).to_contain_text("waits in the queue compute")
    expect(page.locator("#waiting-told")).to_contain_text("will tell you")
    # where the hub sends its user to; what JupyterLab does there is not of interest here
    page.route("**/user/alice/ready/**", lambda route: route.abort())
    page.wait_for_url(re.compile(r".*/user/alice/ready/.*"), timeout=360_000)
    assert page.evaluate("sessionStorage.getItem('note')") == "Your server is ready."
    hub.client("alice").stop("alice", "ready")


def test_a_failure_with_its_way_on(hub: HubRunner, cluster: SlurmCluster, page: Page) -> None:
    """The diagnosis takes the place of the waiting, is announced by title and note, and stays."""
    hub.begin_anew("alice")
    go_on(cluster).unlink(missing_ok=True)
    page.add_init_script(DESKTOP)
    log_in(page, hub, "alice")
    page.goto(hub.url + hub.waiting_page("broken", node_type="brief"))
    page.get_by_role("button", name="Tell me when it is ready").click()
    expect(page.locator("#waiting-told")).to_contain_text("will tell you")
    go_on(cluster).touch()
    heading = page.get_by_role("heading", name="Your server did not start")
    expect(heading).to_be_visible(timeout=120_000)
    expect(page).to_have_title(re.compile(r"^Failed"))
    assert page.evaluate("window.notes") == ["Your server did not start"]
    assert page.evaluate("document.activeElement.id") == "waiting-title"
    expect(page.locator(".pangeo-failure")).to_contain_text("missing on the node")
    expect(page.locator(".pangeo-failure pre")).to_contain_text("is-not-there")
    assert barriers(page) == []
    picture(page, "failure-live", WIDE)
    page.reload()
    expect(page.get_by_role("heading", name="Your server did not start")).to_be_visible()
    expect(page.locator(".pangeo-failure pre")).to_contain_text("is-not-there")
    picture(page, "failure", WIDE)
    assert barriers(page, ".pangeo-failure") == []
    picture(page, "failure", NARROW, dark=True)
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    log = page.locator(".pangeo-failure pre")
    assert log.evaluate("log => log.scrollWidth <= log.clientWidth"), "a line of the log is cut off"
    page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    assert barriers(page, ".pangeo-failure") == []
    link = urlparse(page.locator(".pangeo-retry").get_attribute("href") or "")
    assert link.path == "/hub/spawn/alice/broken"
    assert parse_qs(link.query) == {"node_type": ["brief"]}
    page.locator(".pangeo-retry").click()
    expect(page.get_by_role("radio", name="brief")).to_be_checked()
    page.goto(f"{hub.url}/hub/home")
    last = page.locator(".pangeo-last-failure")
    expect(last).to_contain_text('The last start of the server "broken" failed')
    picture(page, "home-after-failure", WIDE)
    last.locator("summary").first.click()
    expect(last.locator("pre")).to_be_visible()


def test_cancel(hub: HubRunner, cluster: SlurmCluster, page: Page) -> None:
    """A question comes first; then the job is gone from the queue, and the page says so."""
    hub.begin_anew("alice")
    log_in(page, hub, "alice")
    page.goto(hub.url + hub.waiting_page("cancelled", **WAITS, **{"option.begin": "now+600"}))
    expect(page.locator("#waiting-job")).to_have_text(re.compile(r"\d+"))
    job = page.locator("#waiting-job").inner_text()
    page.get_by_role("button", name="Cancel").click()
    assert barriers(page) == []
    picture(page, "cancel", WIDE)
    page.get_by_role("button", name="No, keep waiting").click()
    assert job in queue(cluster)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Yes, cancel the job").click()
    expect(page.get_by_role("heading", name="gone from the queue")).to_be_visible(timeout=120_000)
    assert job not in queue(cluster)
    assert barriers(page) == []
    page.reload()
    expect(page.get_by_role("heading", name="The start was cancelled")).to_be_visible()


def test_without_javascript(hub: HubRunner, cluster: SlurmCluster, plain_page: Page) -> None:
    """What the hub sends is whole in itself, and is loaded again until it is the failure.

    A browser under test does not look into <noscript>, so this one is told to load it.
    """
    hub.begin_anew("alice")
    go_on(cluster).unlink(missing_ok=True)
    page = plain_page
    log_in(page, hub, "alice")
    page.goto(hub.url + hub.waiting_page("plain", node_type="brief"))
    expect(page.locator("#waiting-line")).to_contain_text("job", ignore_case=True)
    expect(page.locator("#waiting-estimated")).to_contain_text("not known")
    head = page.content().partition("</head>")[0]
    assert re.search(r'<noscript>\s*<meta http-equiv="refresh" content="5">', head), head
    go_on(cluster).touch()
    heading = page.get_by_role("heading", name="Your server did not start")
    assert wait_until(lambda: page.reload() and heading.is_visible(), 120, every=1)
    expect(page.locator(".pangeo-failure pre")).to_contain_text("is-not-there")


def test_the_hub_goes_away_and_comes_back(
    hub: HubRunner, cluster: SlurmCluster, page: Page
) -> None:
    """A page that was open while the hub was started anew goes on by itself, with one line."""
    hub.begin_anew("alice")
    log_in(page, hub, "alice")
    page.goto(hub.url + hub.waiting_page("again", **WAITS, **{"option.begin": "now+600"}))
    line = page.locator("#waiting-line")
    expect(line).to_contain_text("waits in the queue compute")
    before = line.inner_text()
    with hub.down():
        expect(page.locator("#waiting-lost")).to_be_visible(timeout=120_000)
    expect(page.locator("#waiting-lost")).to_be_hidden(timeout=120_000)
    expect(line).to_have_text(before)
    job = page.locator("#waiting-job").inner_text()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Yes, cancel the job").click()
    expect(page.get_by_role("heading", name="gone from the queue")).to_be_visible(timeout=120_000)
    assert job not in queue(cluster)


def queue(cluster: SlurmCluster) -> list[str]:
    """Return the jobs that are in the queue."""
    return cluster.admin(["squeue", "-h", "-o", "%i"]).split()
