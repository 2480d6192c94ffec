"""A run of two attempts on the real Slurm: shown, reported on a page in a browser, and replayed."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.cluster.browser import NARROW, barriers, picture
from tests.cluster.face import Cluster
from tests.cluster.second_try import Desk
from tests.cluster.sites import ENDED, CommandLine
from tests.cluster.test_workflow import UNITS, check, done, kill, prepare, stamps, until
from tests.cluster.users import ClusterUser

pytestmark = pytest.mark.usefixtures("anew")

RUN = "told"


@pytest.fixture(scope="module")
def told(cluster: Cluster, cli: CommandLine) -> dict[str, Any]:
    """A run that was killed after some units, and went on in a second job."""
    before = Desk.of(cluster)
    try:
        return killed_and_gone_on(cli)
    except BaseException:
        # the fixture, too, has a second try
        before.clear()
        raise


def killed_and_gone_on(cli: CommandLine) -> dict[str, Any]:
    """Submit the run, kill it, submit it again, and return what is told of it then."""
    script = prepare(cli)
    words = ("submit", script, "--name", RUN, "--nodes", "2")
    arguments = ("--", "told.zarr", "0.4")
    hold = cli.user.scratch / "told.hold"
    hold.touch()
    cli(*words, *arguments)
    until(lambda: done(cli, RUN) >= 3 and busy(cli) > 0)
    kill(cli, RUN, cli.json("runs", "show", RUN)["attempts"][0]["job"])
    hold.unlink()
    cli(*words, "--wait", *arguments)
    return cli.json("runs", "show", RUN)


def busy(cli: CommandLine) -> float:
    """Core-hours of work that the first attempt has noted so far."""
    return float(cli.json("runs", "show", RUN)["attempts"][0]["core_hours"]["busy"])


def accounted(cli: CommandLine, job: str) -> float:
    """Core-hours of a job, as Slurm's own accounting has them."""
    argv = ["sacct", "-X", "-n", "-P", f"--jobs={job}", "--format=State,AllocCPUS,ElapsedRaw"]

    def known() -> list[str]:
        return cli.user.run(argv).stdout.strip().split("|")

    # the end of a job is known there a moment later
    until(lambda: known()[0].partition(" ")[0] in ENDED)
    _, cores, seconds = known()
    return int(cores) * int(seconds) / 3600


def test_what_is_told_of_two_attempts(cli: CommandLine, told: dict[str, Any]) -> None:
    """Core-hours are those of sacct, and the record of the killed attempt is there, too."""
    first, second = told["attempts"]
    for attempt in (first, second):
        hours = attempt["core_hours"]
        assert hours["requested"] == pytest.approx(accounted(cli, attempt["job"]))
        assert 0 < hours["busy"] < hours["requested"]
        assert attempt["queue_wait_seconds"] >= 0
        assert attempt["memory_peak"] > 10_000_000
    assert told["core_hours"]["requested"] == pytest.approx(
        first["core_hours"]["requested"] + second["core_hours"]["requested"]
    )
    assert first["why"]
    assert second["why"] == "completed"
    (output,) = told["outputs"]
    assert (output["state"], output["done"], output["size"] > 0) == ("complete", UNITS, True)
    made = told["provenance"]
    assert (made["job"], len(made["nodes"])) == (second["job"], 2)
    assert made["inputs"][0]["path"].endswith("/tas.zarr")
    rows = {row["run"]: row for row in cli.json("runs", "list")["runs"]}
    assert rows[RUN]["core_hours"] == pytest.approx(told["core_hours"]["requested"])


def test_the_page_in_a_browser(cli: CommandLine, told: dict[str, Any], page: Page) -> None:
    """It opens without a network, shows both attempts and their workers, and nobody is shut out."""
    path = cli.here / "told.html"
    cli("runs", "report", RUN, "-o", str(path))
    asked: list[str] = []
    page.context.set_offline(True)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert {url for url in asked if not url.startswith("data:")} == {path.as_uri()}
    assert page.get_by_role("heading", name=RUN).is_visible()
    for attempt in told["attempts"]:
        lane = page.get_by_text(f"Attempt {attempt['attempt']} · job {attempt['job']}")
        assert lane.is_visible()
    assert page.locator(".timeline .bar.failed").count() == 1
    assert page.locator(".timeline .bar.completed").count() == 1
    assert page.locator(".timeline .bar.worker").count() >= 4
    image = page.locator("figure img").first
    assert image.evaluate("image => image.naturalWidth") > 500
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert barriers(page) == []
        picture(page, f"report-{scheme}")
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    assert page.evaluate("document.documentElement.scrollWidth") == NARROW[0]


def test_replayed_it_is_equal(cli: CommandLine, alice: ClusterUser, told: dict[str, Any]) -> None:
    """Done again under another name, by the script as it was, without touching the original."""
    script = Path(told["script"])
    before = stamps(alice.scratch / "told.zarr")
    text = script.read_text()
    script.write_text(text.replace("np.sqrt(block)", "np.sqrt(block) + 1"))
    try:
        found = cli("runs", "replay", RUN)
    finally:
        script.write_text(text)
    assert "has changed since; the replay runs it as it was" in found.stderr
    assert "equal bit by bit: 1 output" in found.stdout
    assert stamps(alice.scratch / "told.zarr") == before
    again = cli.json("runs", "show", f"{RUN}-replay-1")
    assert again["attempts"][0]["node_type"] == told["attempts"][-1]["node_type"]
    assert len(again["attempts"][0]["nodes"]) == 2
    check(alice.scratch / "replays" / f"{RUN}-replay-1" / "told.zarr")
