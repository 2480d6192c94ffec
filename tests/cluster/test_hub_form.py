"""The spawn form at a real hub on the real cluster: plain HTTP, and a real browser."""

import json
import re
from collections.abc import Iterator
from functools import partial
from html import escape, unescape
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from tests.cluster.bad_choices import BAD
from tests.cluster.browser import NARROW, barriers, log_in, picture
from tests.cluster.daemons import tail, wait_until
from tests.cluster.hub import Browser, HubRunner, ensure_hub_machine, passwords
from tests.cluster.slurm import SlurmCluster

EVIL = "Part of a node \"><script>window.hit = true</script><img src=x onerror='window.hit = true'>"
RESERVATION = '{directive: "--reservation={value}", pattern: "[a-z]+", description: Of a course}'
ASK = "/hub/api/pangeo-hpc/form"


class FormHub(HubRunner):
    """A hub whose site has a nasty description, a reservation, GPUs and environments."""

    def prepare(self) -> None:
        """Write the site with more of what a form shows."""
        super().prepare()
        text = self.site_file.read_text()
        text = text.replace("Part of a node", json.dumps(EVIL), 1)
        text = text.replace(
            "    options:\n", f"    options:\n      reservation: {RESERVATION}\n", 1
        )
        self.site_file.write_text(text + ENVIRONMENTS)


ENVIRONMENTS = """\
environments:
  pangeo: {prefix: /opt/pangeo, description: Xarray and more, default: true}
  old: {prefix: /opt/old}
"""


@pytest.fixture(scope="module")
def hub(cluster: SlurmCluster) -> Iterator[FormHub]:
    """Return a running hub that serves alice and bob."""
    ensure_hub_machine()
    with FormHub(cluster) as runner:
        yield runner


@pytest.fixture(scope="module")
def alice(hub: FormHub) -> Browser:
    """Return alice, logged in without any JavaScript."""
    return hub.client("alice")


# -- one table for form, REST options and links -------------------------------------------------


def by_form(alice: Browser, asked: dict[str, str]) -> tuple[int, str]:
    return alice.open("/hub/spawn/alice", {**asked, "_xsrf": alice.xsrf()})


def by_link(alice: Browser, asked: dict[str, str]) -> tuple[int, str]:
    return alice.open(f"/hub/spawn?{urlencode(asked)}")


def by_rest(alice: Browser, asked: dict[str, str]) -> tuple[int, str]:
    return alice.spawn("alice", options=asked), alice.said


WAYS = {"form": by_form, "link": by_link, "REST": by_rest}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("field", "asked"), BAD, ids=lambda value: str(value)[:40])
def test_one_table_of_limits(
    hub: FormHub, cluster: SlurmCluster, alice: Browser, way: str, field: str, asked: dict[str, str]
) -> None:
    """Whichever way it comes, it is refused for the same reason, and no job is made.

    On the page the reason stands beside the field, and what was typed is still there.
    """
    status, text = WAYS[way](alice, asked)
    assert status == 400, (status, text[:3000])
    said = unescape(json.loads(text)["message"] if way == "REST" else text)
    _, rest = by_rest(alice, asked)
    reason = json.loads(rest)["message"].partition("\n")[0].partition(": ")[2]
    assert reason
    assert reason in said
    if way != "REST":
        assert "window.hit = true</script>" not in text
        if field not in ("", "option.nope", "profile"):
            assert f'id="{field}-error"' in text
            assert 'aria-invalid="true"' in text
            assert f'href="#{field}"' in text
        typed = asked.get(field)
        if typed and field not in ("node_type", "environment", "account", "profile", "option.nope"):
            assert f'value="{escape(typed.strip())}"' in text.replace("&#34;", "&quot;")
    assert cluster.admin(["squeue", "-h"]).strip() == ""
    server = alice.server("alice")
    assert server is None or (not server["ready"] and not server["pending"])


def test_a_good_link_fills_the_form_and_starts_nothing(
    hub: FormHub, cluster: SlurmCluster, alice: Browser
) -> None:
    """Its values are in the fields; JupyterHub's own spelling is read, too; there is no server."""
    for prefix in ("", "opt-"):
        asked = {"node_type": "short", "walltime": "00:02:00", "working_directory": "~/work"}
        query = urlencode({f"{prefix}{name}": value for name, value in asked.items()})
        status, text = alice.open(f"/hub/spawn?{query}")
        assert status == 200
        assert 'value="00:02:00"' in text
        assert 'value="~/work"' in text
        assert re.search(r'value="short"[^>]*checked', text)
        assert 'aria-invalid="true"' not in text
    assert cluster.admin(["squeue", "-h"]).strip() == ""


# -- what the page's script asks ----------------------------------------------------------------


def ask(person: Browser, user: str, show: str, **choices: str) -> dict[str, object]:
    return dict(
        person.json(f"{ASK}/{user}", body={"show": show, "choices": choices}, method="POST")
    )


def test_only_the_user_can_ask_for_a_preview(hub: FormHub, alice: Browser) -> None:
    """Another user may not, nobody without a login, and no other page in their name."""
    bob = hub.client("bob")
    body = {"show": "preview", "choices": {}}
    assert alice.open(f"{ASK}/alice", body=body, method="POST")[0] == 200
    assert bob.open(f"{ASK}/alice", body=body, method="POST")[0] in (403, 404)
    assert Browser(hub.url).open(f"{ASK}/alice", body=body, method="POST")[0] == 403
    forged = hub.client("alice")
    forged.xsrf = lambda path="/hub/": "forged"  # type: ignore[method-assign]
    assert forged.open(f"{ASK}/alice", body=body, method="POST")[0] == 403
    for wrong in ({}, [], {"show": "submit", "choices": {}}, {"show": "preview", "choices": 1}):
        assert alice.open(f"{ASK}/alice", body=wrong, method="POST")[0] == 400


def test_the_preview_is_what_would_be_submitted(hub: FormHub, alice: Browser) -> None:
    """It has the choices, no secret, and the start that the scheduler estimates for this user."""
    told = ask(alice, "alice", "preview", cores="3", memory="2 GiB", walltime="00:20:00")
    script = str(told["script"])
    assert "#SBATCH --cpus-per-task=3" in script
    assert "#SBATCH --mem=2048M" in script
    assert "#SBATCH --time=00:20:00" in script
    assert "<private file>" in script
    assert "TOKEN" not in script
    assert told["estimate"] == "It would start now."
    bob = hub.client("bob")
    told = ask(bob, "bob", "preview", account="ocean")
    assert "Invalid account" in str(told["estimate"]), told
    told = ask(alice, "alice", "preview", working_directory="/nowhere")
    assert [each["field"] for each in told["problems"]] == ["working_directory"]  # type: ignore[attr-defined]


def test_the_form_asks_the_scheduler_seldom(
    hub: FormHub, cluster: SlurmCluster, alice: Browser
) -> None:
    """Twenty views of the form are no question more."""

    def asked_about_nodes() -> int:
        return cluster.sdiag_counts().get("REQUEST_NODE_INFO", 0)

    def is_fresh(known: int) -> bool:
        alice.open("/hub/spawn")
        return asked_about_nodes() > known

    # an answer is kept for a minute: a look at the beginning of one
    assert wait_until(partial(is_fresh, asked_about_nodes()), 120, every=1)
    alice.open("/hub/spawn")
    before = cluster.sdiag_counts()
    for _ in range(20):
        status, text = alice.open("/hub/spawn")
        assert status == 200
        assert "Nodes: 4 idle, 0 partly used, 0 busy, 0 down" in text
    after = cluster.sdiag_counts()
    # what nodes tell by themselves is no question
    asked = {
        name: number - before.get(name, 0)
        for name, number in after.items()
        if not name.startswith("MESSAGE_")
    }
    assert sum(asked.values()) <= 2, asked


# -- in a browser -------------------------------------------------------------------------------


def test_keyboard_alone_starts_a_server_that_is_remembered(
    hub: FormHub, cluster: SlurmCluster, page: Page
) -> None:
    """From login to a running server without a mouse; later its choices and its use are shown."""
    hub.begin_anew("alice")
    page.goto(f"{hub.url}/hub/login?next=/hub/spawn")
    assert barriers(page, "form") == []
    page.get_by_label("Username").focus()
    page.keyboard.type("alice")
    page.keyboard.press("Tab")
    page.keyboard.type(passwords()["alice"])
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/hub/login" not in url)
    expect(page.locator("#estimate")).to_contain_text("It would start now.")
    seen = to(page, "input[name=node_type]")
    page.keyboard.press("ArrowDown")
    assert page.locator("#node_type-short").is_checked()
    page.keyboard.press("ArrowUp")
    assert page.locator("#node_type-compute").is_checked()
    to(page, "#walltime-slider")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#walltime")).to_have_value("00:15:00")
    to(page, "#cores")
    page.keyboard.type("3")
    to(page, "button[type=submit]:not([name])")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", (outline, seen)
    page.keyboard.press("Enter")
    client = hub.client("alice")
    assert wait_until(lambda: (client.server("alice") or {}).get("ready"), 180), tail(hub.log, 60)
    assert cluster.admin(["squeue", "-h", "-o", "%P %l %C"]).split() == ["compute", "15:00", "3"]
    assert client.stop("alice") in (202, 204)
    assert wait_until(lambda: not (client.server("alice") or {}).get("pending"), 120)
    page.goto(f"{hub.url}/hub/spawn")
    expect(page.locator("#cores")).to_have_value("3")
    expect(page.locator("#walltime")).to_have_value("00:15:00")
    expect(page.locator(".pangeo-used")).to_contain_text("Your last servers used at most")
    page.goto(f"{hub.url}/hub/spawn/alice/second")
    expect(page.get_by_role("heading", level=1)).to_have_text("Start server second")
    expect(page.locator("#cores")).to_have_value("3")
    assert page.evaluate("window.hit") is None


def to(page: Page, selector: str) -> list[str]:
    """Press Tab until the focus is where it should be, and return where it was."""
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return seen
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    raise AssertionError(f"Tab never comes to {selector}: {seen}")


def test_an_error_stands_beside_its_field(hub: FormHub, page: Page) -> None:
    """What was typed is kept, the summary has the focus and leads there; nothing typed runs."""
    log_in(page, hub, "alice", "/hub/spawn?cores=2")
    page.locator("#cores").fill('"><script>window.hit = true</script>')
    page.locator("#memory").fill("900 GiB")
    page.locator("#memory").press("Tab")
    page.get_by_role("button", name="Start server").click()
    expect(page.locator("#problems")).to_be_focused()
    expect(page.locator("#cores")).to_have_value('"><script>window.hit = true</script>')
    for name, words in (("cores", "is not a whole number"), ("memory", "is more than node type")):
        box = page.locator(f"#{name}")
        expect(box).to_have_attribute("aria-invalid", "true")
        assert f"{name}-error" in str(box.get_attribute("aria-describedby")).split()
        expect(page.locator(f"#{name}-error")).to_contain_text(words)
    assert barriers(page) == []
    picture(page, "errors", NARROW)
    page.locator("#problems a", has_text="Memory").press("Enter")
    expect(page.locator("#memory")).to_be_focused()
    page.locator("#memory").fill("1 GiB")
    page.keyboard.press("Tab")
    expect(page.locator("#memory-error")).to_have_count(0)
    assert page.locator("#memory").get_attribute("aria-invalid") is None
    assert page.evaluate("window.hit") is None
    # a mistake that is being typed is told, too, and goes when it is mended
    page.goto(f"{hub.url}/hub/spawn?cores=2")
    page.locator("#cores").fill("99")
    page.keyboard.press("Tab")
    expect(page.locator("#cores-live")).to_contain_text("is more than node type")
    page.locator("#cores").fill("2")
    page.keyboard.press("Tab")
    expect(page.locator("#cores-live")).to_have_count(0)


def test_no_barriers_in_light_and_dark_wide_and_narrow(hub: FormHub, page: Page) -> None:
    """axe-core finds nothing to complain about, with preview and offers open."""
    log_in(page, hub, "alice", "/hub/spawn?node_type=compute")
    expect(page.locator("#estimate")).to_contain_text("It would start now.")
    page.locator("#preview summary").click()
    page.get_by_role("button", name="What starts soonest?").click()
    expect(page.locator("#offers-list button").first).to_be_visible()
    assert barriers(page) == []
    picture(page, "form")
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    assert barriers(page) == []
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= NARROW[0], "the page is wider than a narrow screen"
    picture(page, "form", NARROW)
    page.evaluate("document.documentElement.dataset.bsTheme = 'dark'")
    assert barriers(page) == []
    picture(page, "form", dark=True)
    assert page.evaluate("window.hit") is None


def test_starts_soonest_fills_the_form(hub: FormHub, cluster: SlurmCluster, page: Page) -> None:
    """On a full cluster it says how long each would wait; choosing one fills the form only."""
    fill = ["sbatch", "--parsable", "--wrap=sleep 3600", "--cpus-per-task=8", "--mem=7000M"]
    ids = [
        cluster.run_as("bob", [*fill, f"--time={minutes}"], cwd="/tmp").stdout.strip()
        for minutes in (20, 20, 20, 30)
    ]
    try:
        running = wait_until(
            lambda: cluster.admin(["squeue", "-h", "-t", "R"]).count("\n") == 4, 120
        )
        assert running, cluster.admin(["squeue"])
        log_in(page, hub, "alice", "/hub/spawn?node_type=compute&walltime=00:50:00")
        expect(page.locator("#estimate")).to_contain_text("It would start in about")
        page.get_by_role("button", name="What starts soonest?").click()
        offers = page.locator("#offers-list button")
        expect(offers.first).to_be_visible()
        words = offers.all_text_contents()
        assert any(
            re.match(r"50 minutes on compute: in about (19|20|21) minutes$", each) for each in words
        )
        short = offers.filter(has_text="on short")
        expect(short).to_have_text(re.compile(r"2 minutes on short: in about \d+ minutes"))
        picture(page, "offers")
        short.click()
        expect(page.locator("#node_type-short")).to_be_checked()
        expect(page.locator("#walltime")).to_have_value("00:02:00")
        assert "alice" not in cluster.admin(["squeue", "-h", "-o", "%u"])
    finally:
        cluster.admin(["scancel", *ids])
        assert wait_until(lambda: not cluster.admin(["squeue", "-h"]).strip(), 120)


def test_everything_works_without_javascript(
    hub: FormHub, cluster: SlurmCluster, plain_page: Page
) -> None:
    """Preview, offers, errors and a start; the values stay through all of it."""
    hub.begin_anew("bob")
    page = plain_page
    log_in(page, hub, "bob", "/hub/spawn")
    page.locator("#cores").fill("3")
    page.get_by_role("button", name="Show what will be submitted").click()
    expect(page.locator("#script")).to_contain_text("#SBATCH --cpus-per-task=3")
    expect(page.locator("#estimate")).to_have_text("It would start now.")
    expect(page.locator("#cores")).to_have_value("3")
    picture(page, "plain", NARROW)
    page.locator("#cores").fill("")
    page.get_by_role("button", name="What starts soonest?").click()
    page.get_by_role("link", name=re.compile("on short: now")).click()
    expect(page.locator("#node_type-short")).to_be_checked()
    page.locator("#cores").fill("7")
    page.locator("#cores").press("Enter")
    expect(page.locator("#cores-error")).to_contain_text("has a fixed 1")
    page.locator("#cores").fill("")
    page.get_by_role("button", name="Start server").click()
    page.wait_for_url(re.compile(r"/hub/spawn-pending/bob|/user/bob"))
    bob = hub.client("bob")
    assert wait_until(lambda: "bob" in cluster.admin(["squeue", "-h", "-o", "%u %P"]), 120)
    assert "bob short" in cluster.admin(["squeue", "-h", "-o", "%u %P"])
    assert bob.stop("bob") in (202, 204)
    assert wait_until(lambda: not cluster.admin(["squeue", "-h"]).strip(), 120)
