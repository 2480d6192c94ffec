"""What is told of a run: core-hours, a timeline, charts, pictures, and one page of all that."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from pangeo_hpc.jobs import Job
from pangeo_hpc.jobs.record import keep
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import current_person, load_site
from pangeo_hpc.workflow.report import picture as report_picture
from pangeo_hpc.workflow.report import workers as report_workers
from pangeo_hpc.workflow.report.attempt import attempt_of
from pangeo_hpc.workflow.report.charts import durations, memory, meters
from pangeo_hpc.workflow.report.facts import gather, maps, units
from pangeo_hpc.workflow.report.page import page, shares
from pangeo_hpc.workflow.report.timeline import timeline
from pangeo_hpc.workflow.runs import RunFolder

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def status(state: JobState = JobState.COMPLETED, **known: Any) -> JobStatus:
    given = {"submitted": NOON, "started": later(60), "ended": later(3660), "cores": 8} | known
    return JobStatus(id="41", state=state, **given)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run as an earlier version left it: no record of anything."""
    folder = RunFolder(tmp_path / "ndvi")
    (folder.path / "attempts").mkdir(parents=True)
    record = {"format": 1, "name": "ndvi", "site": "here", "script": "/home/a/ndvi.py"}
    put(folder.path / "run.json", {**record, "arguments": ["<script>alert(1)</script>"]})
    return folder


def put(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def job(run: RunFolder, number: int = 1, **request: Any) -> Job:
    place = run.attempt(number)
    place.mkdir(exist_ok=True)
    asked = {"scheduler": "slurm", "node_type": "compute", "nodes": 2, "cores": 4, **request}
    made = Job(
        name="ndvi", folder=place, id=f"{40 + number}", request=asked, submitted=NOON.isoformat()
    )
    made.write()
    return made


def workers(busy: float, lost: float, *, requested: float = 7.0, own: str = "") -> dict[str, Any]:
    hours = {"requested": requested, "busy": busy, "idle": 0.0, "lost": lost}
    unit = {"name": "w-0", "began": later(90).isoformat(), "ended": None, "job": None}
    samples = [[0.0, 100, 1], [10.0, 300, 1], [20.0, 200, 1]]
    told = {"peaks": {"w-0": 300}, "limits": {"w-0": 1000}, "samples": samples}
    rows = [{"job": own, "worker": "w-0", "core_hours": hours}]
    return {"jobs": rows, "total": {"core_hours": hours}, "units": [unit], "memory": told}


def test_core_hours_are_what_the_scheduler_counts(run: RunFolder) -> None:
    """All cores of the job for its time; what the workers did with it; no job, no request."""
    made = job(run)
    put(made.folder / "cluster.json", workers(3.0, 1.0))
    told = attempt_of(made, status(), now=later(9999))
    assert told["core_hours"] == {"requested": 8.0, "busy": 3.0, "idle": 4.0, "lost": 1.0}
    assert (told["queue_wait_seconds"], told["elapsed_seconds"]) == (60.0, 3600.0)
    alive = status(JobState.RUNNING, ended=None)
    assert attempt_of(made, alive, now=later(1860))["core_hours"]["requested"] == 4.0
    waits = status(JobState.PENDING, started=None, ended=None)
    found = attempt_of(made, waits, now=later(30))
    assert (found["queue_wait_seconds"], found["core_hours"]["requested"]) == (30.0, 0.0)
    put(made.folder / "cluster.json", workers(3.0, 1.0, own="99"))
    assert attempt_of(made, status(), now=later(9999))["core_hours"]["requested"] == 15.0
    outside = replace(made, id=None, request={"scheduler": None, "node_type": None, "cores": 2})
    (made.folder / "cluster.json").unlink()
    put(made.folder / "provenance.json", {"cpu_seconds": 1800, "began": NOON.isoformat()})
    found = attempt_of(outside, status(), now=later(9999))
    assert found["core_hours"] == {"requested": None, "busy": 0.5, "idle": None, "lost": 0.0}


def test_why_an_attempt_ended(run: RunFolder) -> None:
    """The scheduler's word, the limit it met, the signal, and the script's own error."""

    def why(state: JobState, **known: Any) -> str:
        return str(attempt_of(made, status(state, **known))["why"])

    made = job(run, memory=2 << 30, walltime=7200)
    assert why(JobState.TIMEOUT) == "timeout, it had 02:00:00"
    assert why(JobState.OUT_OF_MEMORY) == "out of memory, it had 2 GiB on each node"
    assert why(JobState.FAILED, exit_code=137) == "failed, exit code 137 (SIGKILL)"
    assert why(JobState.FAILED, exit_code=75) == "stopped in time, exit code 75"
    assert why(JobState.RUNNING) == ""
    put(made.folder / "provenance.json", {"why": {"error": "KeyError", "words": "'tas'"}})
    assert why(JobState.FAILED, exit_code=1) == "failed, exit code 1: KeyError: 'tas'"


def attempts(run: RunFolder, *ends: JobStatus) -> list[dict[str, Any]]:
    return [attempt_of(job(run, i), each) for i, each in enumerate(ends, 1)]


def test_a_timeline_with_days_in_between(run: RunFolder) -> None:
    """Waiting, running and workers lie side by side; a long pause is cut out of the axis."""
    day = timedelta(days=3)
    moments = {"submitted": NOON + day, "started": later(60) + day, "ended": later(3660) + day}
    told = attempts(run, status(JobState.FAILED, exit_code=1), status(**moments))
    put(run.attempt(1) / "cluster.json", workers(1, 0))
    record = {"began": later(70).isoformat(), "first_unit": later(200).isoformat()}
    put(run.attempt(1) / "provenance.json", record)
    found = timeline(told, now=later(0) + 2 * day)
    assert found is not None
    first, worker, second = found.lanes
    assert [bar.kind for bar in first.bars] == ["waiting", "failed"]
    assert [bar.kind for bar in second.bars] == ["waiting", "completed"]
    assert (worker.indent, worker.bars[0].kind, worker.bars[0].words) == (
        True,
        "worker",
        "at work 59 minutes 30 seconds",
    )
    (cut,) = found.cuts
    assert cut[1] == "2 days 22 hours in between"
    ends = [bar.left + bar.width for lane in found.lanes for bar in lane.bars]
    assert max(ends) == pytest.approx(100, abs=0.1)
    assert first.bars[0].left == 0
    assert first.bars[1].left == pytest.approx(first.bars[0].width, abs=0.01)
    assert first.bars[1].left + first.bars[1].width < cut[0] < second.bars[0].left
    places = [place for place, _ in first.marks]
    assert first.bars[1].left < places[0] < places[1] < cut[0]
    assert timeline([]) is None


def test_many_workers_are_counted(run: RunFolder) -> None:
    """A page does not draw hundreds, and says so."""
    told = attempts(run, status())
    many = workers(1, 0)
    many["units"] = [{**many["units"][0], "name": f"w-{i}"} for i in range(100)]
    put(run.attempt(1) / "cluster.json", many)
    found = timeline(told)
    assert found is not None
    assert len(found.lanes) == 25
    assert found.note == "attempt 1: 76 more workers are not drawn"


def test_units_maps_and_memory(run: RunFolder) -> None:
    """Charts of what the ledger and the workers tell; broken files are passed over."""
    ledger = run.path / "ledger" / "out-1"
    put(ledger / "template.json", {"output": "/s/out.zarr", "token": "t"})
    put(ledger / "t" / "coordinates.json", {"unit": "coordinates", "seconds": 99})
    for i in range(300):
        entry = {"unit": f"unit-{i:06}", "seconds": 1.0 + (i == 7), "job": "41" if i < 9 else None}
        put(ledger / "t" / f"unit-{i:06}.json", entry)
    (ledger / "t" / "unit-x.json").write_text("{")
    place = run.path / "maps" / "m"
    put(place / "map.json", {"name": "m"})
    put(place / "items" / "a.json", {"label": "a", "seconds": 0.5, "job": None})
    put(place / "failed" / "b.json", {"item": "b", "error": "ValueError: b", "tries": 3})
    chart, of_map = durations(units(run))
    assert (chart.output, chart.units, chart.longest, chart.middle) == ("out.zarr", 300, 2.0, 1.0)
    assert (len(chart.bars), chart.attempts) == (100, 2)
    assert chart.bars[2][2] == 100.0
    assert {shade for *_, shade in chart.bars} == {"even", "odd"}
    assert (of_map.output, of_map.units) == ("map m", 1)
    (told,) = maps(run)
    assert (told["done"], told["failed"][0]["error"]) == (1, "ValueError: b")
    found = attempts(run, status(memory_used=600))
    put(run.attempt(1) / "cluster.json", workers(1, 0))
    (curve,) = memory([{**found[0], "memory": 1000}])
    assert (curve.peak, curve.limit, curve.seconds) == (300, 1000, 20.0)
    whole, worker = meters([{**found[0], "memory": 1000}])
    assert (whole["share"], worker["share"]) == (60.0, 30.0)


def test_worker_jobs_that_outlived_their_script(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their end is asked for once, and their core-hours are whole from then on."""
    made = job(run)
    told = workers(1.0, 0.0, requested=0.5, own="99")
    started = status(JobState.RUNNING, ended=None)
    told["units"][0]["job"] = keep(replace(started, id="99"))
    put(made.folder / "cluster.json", told)
    asked: list[list[str]] = []

    def answer(_scheduler: Any, ids: list[str], **_: Any) -> dict[str, JobStatus]:
        asked.append(ids)
        return {"99": replace(status(), id="99")}

    monkeypatch.setattr(report_workers.jobs, "status", answer)
    site = load_site("local", environ={"HOME": str(tmp_path), "PATH": ""})
    for _ in range(2):
        report_workers.settle(site, current_person(), [made], [status()])
    assert asked == [["99"]]
    assert attempt_of(made, status())["core_hours"]["requested"] == 16.0
    report_workers.settle(site, current_person(), [made], [started])
    assert len(asked) == 1


def test_shares_fill_the_bar() -> None:
    """They add up to what was requested, and never to more."""
    told = shares({"requested": 4.0, "busy": 3.0, "idle": 0.0, "lost": 2.0})
    assert [each["share"] for each in told] == [75.0, 0.0, 25.0]
    assert shares({"requested": None, "busy": 1.0, "idle": None, "lost": 0.0}) == []


class Page(HTMLParser):
    """Checks that every tag is closed, and collects text and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "action", "srcset")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def told_of(run: RunFolder, *ends: JobStatus) -> dict[str, Any]:
    return gather(run, [job(run, i) for i in range(1, len(ends) + 1)], list(ends))


def test_a_page_on_a_run_of_an_earlier_version(run: RunFolder) -> None:
    """Without any record there is a page, and what a person typed is never markup."""
    job(run).output.write_text("line 1\nValueError: \x1b[31m<b>no</b>\n")
    made = page(run, told_of(run, status(JobState.FAILED, exit_code=1)))
    found = Page(made)
    assert "script" not in found.tags
    assert "<script>alert(1)</script>" in found.text
    assert "ValueError: ·[31m<b>no</b>" in found.text
    assert "Failed, exit code 1, after 1 attempt." in found.text
    assert "Nothing was recorded" in found.text
    assert found.addresses == []
    Page(page(run, told_of(run)))
    assert "Is running, 1 attempt." in Page(page(run, told_of(run, status(JobState.RUNNING)))).text
    put(run.path / "replay.json", {"run": "first", "attempt": 2})
    put(run.path / "chain.json", {"numbers": [1, 2]})
    put(run.path / "maps" / "m" / "map.json", {})
    put(run.path / "maps" / "m" / "failed" / "b.json", {"item": "b<i>", "error": "E", "tries": 3})
    found = Page(page(run, told_of(run, status())))
    assert "A replay of attempt 2 of first; not compared yet." in found.text
    assert "Map m: 0 items are done, 1 failed." in found.text
    put(run.path / "comparison.json", {"run": "first", "words": "equal bit by bit"})
    assert "Replay of first: equal bit by bit." in Page(page(run, told_of(run, status()))).text


def test_a_page_needs_nothing_else(run: RunFolder, tmp_path: Path) -> None:
    """Its pictures are in it, and it names no other place to load from."""
    write(tmp_path / "out.zarr")
    put(run.path / "outputs.json", {"outputs": [{"path": str(tmp_path / "out.zarr"), "units": 2}]})
    put(run.path / "progress.json", {"done": 2, "total": 2, "updated": "2026"})
    place = run.attempt(1)
    place.mkdir()
    put(place / "cluster.json", workers(3.0, 1.0))
    put(place / "script" / "ndvi.py", "print('kept')")
    record = {
        "script": {"path": "/home/a/ndvi.py", "sha256": "0", "bytes": 9, "kept": "script/ndvi.py"},
        "inputs": [{"path": "/s/tas.zarr", "identity": "1", "bytes": 5, "whole": False}],
        "environment": {"digest": "sha256:1", "packages": 3, "prefix": "/env"},
        "git": {"commit": "0123456789abcdef", "branch": "main", "dirty": 1, "untracked": False},
    }
    put(place / "provenance.json", record)
    made = page(run, told_of(run, status()))
    found = Page(made)
    assert found.addresses
    assert all(address.startswith("data:image/png;base64,") for address in found.addresses)
    assert not re.search(r"@import|url\(", made)
    assert "print('kept')" in found.text
    assert "0123456789ab on main with 1 file changed and not committed" in found.text
    assert "≥ 5 B" in found.text
    assert "2 of 2" in re.sub(r"\s+", " ", found.text)


def write(path: Path, **more: Any) -> None:
    values = np.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    coords = {"lat": [-1.0, 0.0, 1.0], "lon": [0.0, 1.0, 2.0, 3.0], "time": [0, 1]}
    variables = {
        "tas": (("time", "lat", "lon"), values, {"units": "K", "long_name": "Temperature"}),
        "mean": (("time",), [1.0, 2.0]),
        **more,
    }
    xr.Dataset(variables, coords).to_zarr(path, zarr_format=3, consolidated=False)


def test_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A map where there is one, else a line; what would cost too much is told instead."""
    write(tmp_path / "out.zarr")
    drawn, missing = report_picture.pictures([{"path": str(tmp_path / "out.zarr")}])
    assert missing == ""
    assert [each.title for each in drawn] == ["Temperature", "mean"]
    assert drawn[0].words == "out.zarr: tas at time 0; 0 to 11 K"
    monkeypatch.setattr(report_picture, "MOST_BYTES", 50)
    drawn, missing = report_picture.pictures([{"path": str(tmp_path / "out.zarr")}])
    assert [each.title for each in drawn] == ["mean"]
    assert missing.startswith("tas is not drawn: ")
    assert report_picture.pictures([]) == ([], "no picture: there is no Zarr output to look at")


def test_a_broken_store_is_a_sentence(tmp_path: Path) -> None:
    """Whatever is wrong with an output, the page is made."""
    (tmp_path / "out.zarr").mkdir()
    (tmp_path / "out.zarr" / "zarr.json").write_text("{")
    drawn, missing = report_picture.pictures([{"path": str(tmp_path / "out.zarr")}])
    assert drawn == []
    assert missing.startswith("out.zarr cannot be drawn: ")
