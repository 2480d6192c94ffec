"""From data to report, with a job that is computed in this process."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from pangeo_hpc.demo import data, follow, job, report, source, steps
from pangeo_hpc.demo.ensemble import ensemble
from pangeo_hpc.errors import JobFailed, NotAllowed, RequestRefused, RunBusy, UsageError
from pangeo_hpc.jobs import Ask, Job
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import Person, Site, load_site
from pangeo_hpc.workflow import launch
from pangeo_hpc.workflow.runs import RunFolder
from pangeo_hpc.workflow.writing.template import stable
from tests.unit.demo.cmip6 import write_file

SITE = """\
name: alpha
scheduler: local
user_state: "{root}/state/{{user}}"
node_types:
  notes: {{cores: 1, memory: 1 GiB, walltime: "01:00:00", uses: [notebook], default: true}}
  small: {{cores: 1, memory: 1 GiB, walltime: "00:05:00"}}
  big: {{cores: 4, memory: 8 GiB, walltime: "02:00:00", max_nodes: 2}}
scratch:
  scratch: {{path: "{root}/scratch/{{user}}", purge: {{after: 30 days, enforced_by: site}}}}
"""
START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    path = tmp_path / "alpha.yaml"
    path.write_text(SITE.format(root=tmp_path))
    return load_site(path, environ={"HOME": str(tmp_path), "PATH": ""})


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person("alice", 1001, 1001, "science", tmp_path)


class Told:
    """Remembers what the demo said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def bar(self, text: str, done: int, total: int) -> None:
        pass


class Queue:
    """Stands for launch and the scheduler; computes when it is asked for a state."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.state = JobState.COMPLETED
        self.launched: list[tuple[launch.Script, Ask, bool]] = []
        self.followed = False

    def launch(
        self, site: Site, person: Person, script: launch.Script, ask: Ask, *, force: bool
    ) -> tuple[RunFolder, Job]:
        self.launched.append((script, ask, force))
        path = site.user_state_path(person) / "runs" / site.name / script.run_name
        folder = RunFolder(path)
        _, attempt = folder.new_attempt()
        record = {"script": str(script.path), "arguments": list(script.arguments)}
        (path / "run.json").write_text(json.dumps(record))
        request = {"nodes": 2, "cores": 4, "node_type": ask.node_type, "scheduler": "local"}
        made = Job(
            name="demo-abcd",
            folder=attempt,
            id="7",
            state="taken",
            request=request,
            submitted=START.isoformat(),
        )
        made.write()
        made.output.write_text("it went wrong\n")
        return folder, made

    def follow(self, site: Site, person: Person, found: Any, **options: Any) -> list[JobStatus]:
        if self.state is JobState.COMPLETED and self.launched:
            script = self.launched[-1][0]
            folder = script.path.parent
            with stable(), xr.open_zarr(folder / steps.MONTHLY) as months:
                assert months.attrs["source_digest"] == script.arguments[1]
                computed = ensemble(months).load()
                computed.to_zarr(folder / steps.ENSEMBLE, mode="w", zarr_format=3)
        if self.state is JobState.RUNNING:
            self.state = JobState.COMPLETED
            return [JobStatus(id="7", state=JobState.RUNNING)]
        ended = START + timedelta(minutes=3)
        return [JobStatus(id="7", state=self.state, started=START, ended=ended, nodes=("a", "b"))]


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    made = Queue(tmp_path)
    monkeypatch.setattr(launch, "launch", made.launch)
    monkeypatch.setattr(steps, "states_of", made.follow)
    monkeypatch.setattr(job, "follow", made.follow)
    monkeypatch.setattr(follow, "LOOK", 0.001)
    return made


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three sound models, one that cannot be read and one with daily files only."""
    root = tmp_path / "sample"
    write_file(root, "A", 1955, 2014)
    write_file(root, "B", 1950, 1980, calendar="360_day")
    write_file(root, "B", 1981, 2014, calendar="360_day")
    write_file(root, "C", 1985, 2014, calendar="standard", latitudes=(86.0, 87.0, 88.0))
    write_file(root, "D", 1950, 1951, units="degC")
    write_file(root, "E", 2000, 2001, table="day")
    monkeypatch.setattr(data, "find", lambda: root)
    return root


def test_the_whole_way(
    site: Site, person: Person, queue: Queue, sample: Path, tmp_path: Path
) -> None:
    """Picture and both reports are there, everything is told, and every model is accounted for."""
    told = Told()
    out = tmp_path / "out" / "here"
    choices = steps.Choices(ask=Ask(node_type="big", nodes="2"), folder=out)
    result = steps.run(site, person, choices, told)
    assert (out / "picture.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert json.loads((out / "report.json").read_text()) == result
    assert result["data"]["models"] == ["A", "B", "C"]
    assert {each["model"] for each in result["data"]["left_out"]} == {"D", "E"}
    assert result["data"]["baseline_incomplete"] == {"C": 6}
    assert result["job"]["core_hours"] == pytest.approx(8 * 3 / 60)
    assert result["job"]["nodes"] == ["a", "b"]
    assert result["purge"]["days"] == 30
    assert result["bytes"]["read"] > result["bytes"]["files"] > 0
    assert Path(result["paths"]["output"]).is_relative_to(tmp_path / "scratch" / "alice")
    assert [line for line in told.lines if line.startswith("not merged: D: ta_Amon_D")]
    for text in (report.text(result), (out / "report.md").read_text()):
        assert "not merged: D: ta_Amon_D_historical_r1i1p1f1_gn_195001-195112.nc is in" in text
        assert "not merged: E: there is no ta Amon historical, only ta day historical" in text
        assert "baseline: C has 6 of the 30 years" in text
        assert "core-hours: 0.400" in text
        assert "30 days after it was written" in text
        assert "GENERATED" not in text


def test_a_second_demo_starts_over_and_reads_nothing_again(
    site: Site, person: Person, queue: Queue, sample: Path
) -> None:
    """After a success the months stay, and the job computes afresh."""
    first = steps.run(site, person, steps.Choices(), Told())
    told = Told()
    second = steps.run(site, person, steps.Choices(), told)
    assert [force for _, _, force in queue.launched] == [True, True]
    assert any("on scratch already" in line for line in told.lines)
    assert second["bytes"]["files"] == 0
    assert second["bytes"]["written"] == first["bytes"]["output"]
    assert second["data"] == first["data"]


def test_a_failed_demo_goes_on(site: Site, person: Person, queue: Queue, sample: Path) -> None:
    """After a failure the next job goes on where it stopped, unless it is to be fresh."""
    queue.state = JobState.TIMEOUT
    for choices in (steps.Choices(), steps.Choices(), steps.Choices(fresh=True)):
        with pytest.raises(JobFailed, match="it went wrong"):
            steps.run(site, person, choices, Told())
    assert [force for _, _, force in queue.launched] == [True, False, True]


def test_other_data_start_over(site: Site, person: Person, queue: Queue, sample: Path) -> None:
    """A run on other files does not go on where another one stopped."""
    queue.state = JobState.TIMEOUT
    with pytest.raises(JobFailed):
        steps.run(site, person, steps.Choices(), Told())
    write_file(sample, "F", 1960, 1999)
    with pytest.raises(JobFailed):
        steps.run(site, person, steps.Choices(), Told())
    assert [force for _, _, force in queue.launched] == [True, True]


def test_a_job_that_runs_is_joined(site: Site, person: Person, queue: Queue, sample: Path) -> None:
    """A second demo follows the job of the first one and submits nothing."""
    steps.run(site, person, steps.Choices(), Told())
    queue.state = JobState.RUNNING
    told = Told()
    result = steps.run(site, person, steps.Choices(), told)
    assert len(queue.launched) == 1
    assert "run demo is there already as job 7; following it" in told.lines
    assert result["job"]["job"] == "7"


def test_other_data_wait_for_a_job_that_runs(
    site: Site, person: Person, queue: Queue, sample: Path, tmp_path: Path
) -> None:
    """The months that a running job reads are not replaced by others."""
    steps.run(site, person, steps.Choices(), Told())
    months = tmp_path / "scratch" / "alice" / steps.FOLDER / steps.MONTHLY
    before = (months / "zarr.json").read_bytes()
    write_file(sample, "F", 1960, 1999)
    queue.state = JobState.RUNNING
    with pytest.raises(RunBusy, match="on other data"):
        steps.run(site, person, steps.Choices(), Told())
    assert (months / "zarr.json").read_bytes() == before


def test_without_the_package_it_is_generated_and_says_so(
    site: Site, person: Person, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made-up numbers are called so on the screen and in the report, and lie in their own place."""
    monkeypatch.setattr(data, "find", lambda: None)
    told = Told()
    result = steps.run(site, person, steps.Choices(), told)
    assert "GENERATED DATA: the package esmvaltool-sample-data is not installed" in told.lines[0]
    assert result["data"]["generated"] is True
    assert report.text(result).startswith(
        "GENERATED DATA, not climate models: air temperature at 925 hPa of 42"
    )
    assert "pangeo-hpc-demo-generated" in result["paths"]["output"]
    assert result["run"] == "demo-generated"


def test_a_batch_node_type_and_a_short_walltime(site: Site) -> None:
    """Where the user chose nothing, the job fits the site and is short; else it is as asked."""
    assert job.with_defaults(site, Ask()) == Ask(node_type="small", walltime="00:05:00")
    assert job.with_defaults(site, Ask(node_type="big")).walltime == "00:15:00"
    asked = Ask(node_type="big", walltime="01:00:00")
    assert job.with_defaults(site, asked) == asked


def test_a_request_outside_the_limits_is_refused_first(
    site: Site, person: Person, queue: Queue, sample: Path, tmp_path: Path
) -> None:
    """What the site does not allow is refused before any file is read."""
    told = Told()
    choices = steps.Choices(ask=Ask(node_type="big", nodes="9", memory="9 TiB"))
    with pytest.raises(RequestRefused, match=r"(?s)nodes.*memory"):
        steps.run(site, person, choices, told)
    assert queue.launched == []
    assert not any("scratch" in line for line in told.lines)


def test_a_file_where_the_folder_should_be(
    site: Site, person: Person, queue: Queue, sample: Path
) -> None:
    """A folder for the picture that cannot be one is told at once."""
    choices = steps.Choices(folder=next(sample.rglob("*.nc")) / "pictures")
    with pytest.raises(NotAllowed, match="Not a directory"):
        steps.run(site, person, choices, Told())


def test_no_model_at_all(
    site: Site, person: Person, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no model can be merged, each reason is told and nothing is submitted."""
    write_file(tmp_path / "sample", "D", 1950, 1951, units="degC")
    monkeypatch.setattr(data, "find", lambda: tmp_path / "sample")
    with pytest.raises(JobFailed, match=r"D: ta_Amon_D.* is in 'degC', not K"):
        steps.run(site, person, steps.Choices(), Told())
    assert queue.launched == []


def test_missing_libraries_are_named(
    site: Site, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its libraries the demo says which are missing and how to get them."""
    real = steps.find_spec
    gone = ("matplotlib", "cftime")
    monkeypatch.setattr(steps, "find_spec", lambda name: None if name in gone else real(name))
    with pytest.raises(UsageError, match="not installed: cftime, matplotlib") as caught:
        steps.run(site, person, steps.Choices(), Told())
    assert caught.value.hint == "pip install 'pangeo-hpc[demo]'"


def test_the_digest_changes_with_the_script(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another script computes something else, on the same data."""
    before = source.choose(only_generated=True).digest
    other = tmp_path / "ensemble.py"
    other.write_text("pass\n")
    monkeypatch.setattr(source, "SCRIPT", other)
    assert source.choose(only_generated=True).digest != before


def test_the_demo_is_light_until_it_runs() -> None:
    """Importing the demo and its command loads none of the heavy libraries."""
    import subprocess

    code = "import sys; import pangeo_hpc.demo.steps, pangeo_hpc.cli.demo; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"xarray", "numpy", "dask", "distributed", "matplotlib", "zarr", "netCDF4"}
