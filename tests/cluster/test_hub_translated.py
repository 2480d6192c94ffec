"""A hub in a site's own language: the form, a wait and its reason, a failure, and JupyterLab."""

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.cluster.browser import barriers, log_in, picture
from tests.cluster.daemons import tail, wait_until
from tests.cluster.german import TEXTS
from tests.cluster.hub import AT_ONCE, HubRunner, ensure_hub_machine
from tests.cluster.slurm import SlurmCluster

NODE_TYPES = """\
  brief: {queue: compute, cores: 1, memory: 500 MiB, walltime: "00:10:00",
    setup: ["sleep 2", "/opt/is-not-there/bin/python"]}
"""
AFTER = 50


@pytest.fixture(scope="module")
def hub(cluster: SlurmCluster) -> Iterator[HubRunner]:
    """Return a hub with a site's texts, which the service account and users can read."""
    ensure_hub_machine()
    place = cluster.directory / "hub-texts.de.json"
    place.write_text(json.dumps(TEXTS))
    place.chmod(0o644)
    settings = f"  idle: {{after: {AFTER} seconds}}\n  texts: {place}\n"
    with HubRunner(
        cluster, extra_node_types=NODE_TYPES, extra_hub=settings, extra_config=AT_ONCE
    ) as runner:
        yield runner


def test_the_pages_of_the_hub(hub: HubRunner, page: Page) -> None:
    """Form, waiting page with its reason and advice, cancelling and failure speak it."""
    hub.begin_anew("alice")
    log_in(page, hub, "alice", then="/hub/spawn/alice/warten")
    expect(page.get_by_role("heading", name="Server warten starten")).to_be_visible()
    expect(page.locator("#node_type-compute-facts")).to_contain_text(
        re.compile(r"Laufzeit: 10 Minuten")
    )
    page.get_by_label("Kerne", exact=True).fill("99")
    page.get_by_role("button", name="Server starten").click()
    problems = page.locator("#problems")
    expect(problems).to_contain_text("So kann der Server nicht gestartet werden")
    expect(problems).to_contain_text("99 ist mehr, als der Knotentyp compute erlaubt (8)")
    picture(page, "german-form")
    wait = {"node_type": "compute", "cores": 1, "memory": "1 GiB", "option.begin": "now+600"}
    page.goto(hub.url + hub.waiting_page("warten", **wait))
    line = page.locator("#waiting-line")
    expect(line).to_contain_text("wartet in der Warteschlange compute.")
    expect(line).to_contain_text("ist noch nicht gekommen")
    expect(page.locator("#waiting-words")).to_contain_text("Worten des Schedulers: BeginTime")
    # the browser's own words for a time, too
    expect(page.locator("#waiting-estimated")).to_contain_text(re.compile(r"\(in \d+ Minuten\)"))
    expect(page).to_have_title(re.compile(r"^Wartet 0:0"))
    assert barriers(page) == []
    picture(page, "german-waiting")
    page.get_by_role("button", name="Abbrechen").click()
    page.get_by_role("button", name="Ja, den Auftrag abbrechen").click()
    gone = page.get_by_role("heading", name="nicht mehr in der Warteschlange")
    expect(gone).to_be_visible(timeout=120_000)

    page.goto(hub.url + hub.waiting_page("kaputt", node_type="brief"))
    heading = page.get_by_role("heading", name="Ihr Server ist nicht gestartet")
    expect(heading).to_be_visible(timeout=120_000)
    expect(page.locator(".pangeo-failure")).to_contain_text("fehlt auf dem Knoten")
    expect(page.locator(".pangeo-failure")).to_contain_text("gescheitert")
    picture(page, "german-failure")


def test_jupyterlab(hub: HubRunner, page: Page) -> None:
    """Status bar, warning and the word before a stop are those of the site's one file."""
    hub.begin_anew("alice")
    browser = hub.client("alice")
    assert browser.spawn("alice", options={"node_type": "compute", "cores": 2}) in (201, 202)

    def ready() -> bool:
        return bool((browser.server("alice") or {}).get("ready"))

    assert wait_until(ready, 180, every=0.5), tail(hub.log, 60)
    log_in(page, hub, "alice")
    expect(page.locator("td[data-ends]")).to_have_text(re.compile(r"^[789] Min\.$"))
    page.goto(f"{hub.url}/user/alice/lab", wait_until="commit")
    item = page.locator("[data-pangeo-hpc=time-left]")
    expect(item).to_have_text(re.compile(r"^noch [5-9] Min\.$"), timeout=120_000)
    expect(item).to_have_attribute("title", re.compile(r"^Auftrag \d+ auf \S+ endet um \d\d:\d\d$"))
    expect(item).to_have_attribute("lang", "de")
    toasts = page.locator(".jp-Notification-Toast-warning")
    expect(toasts).to_contain_text(
        re.compile(r"Dieser Server endet in \d Minuten.*, um \d\d:\d\d: ")
    )
    picture(page, "german-lab")
    idle = toasts.filter(has_text=re.compile(r"Seit \d+ Sekunden ist hier nichts gelaufen"))
    expect(idle).to_have_count(1, timeout=(AFTER + 60) * 1000)
    picture(page, "german-lab-idle")
    page.get_by_role("button", name="Weiterlaufen lassen").click()
    expect(idle).to_have_count(0)
    browser.stop("alice")
