import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pangeo_hpc import workflow
from pangeo_hpc.errors import UsageError
from pangeo_hpc.processes import start_ticks
from pangeo_hpc.workflow import lease, session
from pangeo_hpc.workflow.deadline import Deadline, Pace
from pangeo_hpc.workflow.ending import Words
from tests.unit.workflow.conftest import Scripts, stamps

START = """
    import sys, time
    from datetime import UTC, datetime, timedelta
    import dask.array as da
    import numpy as np
    import xarray as xr
    from pangeo_hpc import workflow
    from pangeo_hpc.errors import StoppedInTime
    from pangeo_hpc.workflow import session

    def slowly(block):
        time.sleep(0.2)
        return block

    array = da.ones((60, 4), chunks=(3, 4)).map_blocks(slowly, dtype="f8", meta=np.zeros((0, 0)))
    ds = xr.Dataset({"tas": (("time", "x"), array)})
"""
WRITE = """
    with workflow.start("climatology", cluster=False) as run:
        run.write_zarr(ds, "out.zarr")
    print("after")
"""


def ends_in(seconds: float) -> str:
    """Return lines that let the script believe it is in a job that ends soon."""
    return f"""
    class Inside:
        ends = datetime.now(UTC) + timedelta(seconds={seconds})
        job_id, scheduler = "41", "slurm"
        class facts: restarts = 0
    session.allocation.current = lambda: Inside
"""


def wait_for_unit(process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    assert "unit 1 of 20 written" in process.stderr.readline()


def test_a_script_that_stops_in_time_ends_with_75(
    scripts: Scripts, folder: Path, tmp_path: Path
) -> None:
    """One clear line instead of a traceback, and a summary of what is there."""
    sudden = """
        if len(seen) == 3:
            run._entered.deadline.ends = datetime.now(UTC)
        seen.append(1)
        return block"""
    text = START.replace("        return block", sudden).replace("0.2", "0") + "    seen = []\n"
    path = scripts.write(text + ends_in(3600) + WRITE)
    code, out, err = scripts.run(path)
    assert (code, out) == (75, "")
    assert "Traceback" not in err
    lines = err.strip().splitlines()
    assert lines[0].startswith("out.zarr: unit 1 of 20 written, ")
    assert lines[4].startswith("run climatology stopped in time: 4 of 20 units of out.zarr are ")
    assert lines[5:] == ["hint: run it again to go on"]
    report = json.loads((folder / "outputs.json").read_text())
    (output,) = report["outputs"]
    assert (output["complete"], output["units"]) == (False, 20)
    assert output["written"] == 4
    progress = json.loads((folder / "progress.json").read_text())
    assert (progress["done"], progress["total"]) == (4, 20)


def test_a_finished_script_leaves_a_summary(scripts: Scripts, folder: Path, tmp_path: Path) -> None:
    """Where the output is, its bytes, its units, its time, and the time to the first unit."""
    path = scripts.write(START.replace("0.2", "0") + WRITE)
    code, out, _ = scripts.run(path)
    assert (code, out) == (0, "after\n")
    report = json.loads((folder / "outputs.json").read_text())
    (output,) = report["outputs"]
    assert output["path"] == str(tmp_path / "scratch" / "out.zarr")
    assert output["complete"]
    assert (output["units"], output["written"], output["skipped"]) == (20, 20, 0)
    assert output["bytes"] > 1000
    assert 0 < output["seconds_to_first_unit"] < report["seconds"]


def test_a_busy_run_ends_with_4(scripts: Scripts, folder: Path) -> None:
    """The second script is told who computes, and the first goes on."""
    path = scripts.write(START.replace("0.2", "3") + WRITE)
    with scripts.start(path) as process:
        wait_for_unit(process)
        code, out, err = scripts.run(path)
        assert (code, out) == (4, "")
        assert err.startswith("error: run climatology is being computed by process")
        assert "Traceback" not in err
        process.kill()
        process.communicate()


def test_sigterm_ends_the_script_and_frees_the_run(scripts: Scripts, folder: Path) -> None:
    """Outside the last minutes, SIGTERM means that somebody wants the end; exits run on the way."""
    path = scripts.write(START + WRITE)
    with scripts.start(path) as process:
        wait_for_unit(process)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (143, "")
    assert "Traceback" not in err
    _, last = lease.newest_holder(folder / "leases")
    assert last is not None
    assert last.released_at is not None


def test_sigterm_at_the_end_of_the_walltime_is_75(scripts: Scripts) -> None:
    """The scheduler's last warning means: run it again."""
    path = scripts.write(START + ends_in(100) + WRITE)
    with scripts.start(path) as process:
        wait_for_unit(process)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (75, "")
    assert "stopped in time: SIGTERM with 1 minute" in err
    assert "Traceback" not in err


def test_sigusr1_stops_after_the_unit_at_work(scripts: Scripts, folder: Path) -> None:
    """What `--signal=B:USR1@120` sends leaves time for the unit at work."""
    path = scripts.write(START.replace("0.2", "1") + WRITE)
    with scripts.start(path) as process:
        wait_for_unit(process)
        process.send_signal(signal.SIGUSR1)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 75
    assert "of 20 units of out.zarr are written, asked to stop by SIGUSR1" in err


def test_an_error_of_the_script_is_its_own(scripts: Scripts, folder: Path) -> None:
    """A bug keeps its traceback and exit code 1, and gives the run back."""
    path = scripts.write(
        START + WRITE.replace('run.write_zarr(ds, "out.zarr")', 'raise ValueError("a bug")')
    )
    code, _, err = scripts.run(path)
    assert code == 1
    assert err.startswith("Traceback")
    assert "ValueError: a bug" in err
    _, last = lease.newest_holder(folder / "leases")
    assert last is not None
    assert last.released_at is not None


def test_a_script_may_handle_the_stop(scripts: Scripts) -> None:
    """StoppedInTime is an exception like others, until nobody handles it."""
    caught = "    try:\n" + "".join(f"    {line}\n" for line in WRITE.strip("\n").splitlines())
    path = scripts.write(
        START + ends_in(5) + caught + "    except StoppedInTime:\n        print('handled')\n"
    )
    assert scripts.run(path)[:2] == (0, "handled\n")


def test_importing_the_workflow_is_light() -> None:
    """The heavy libraries are loaded when something is computed."""
    check = "import sys; from pangeo_hpc import workflow; dir(workflow); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert not {"xarray", "zarr", "dask", "numpy", "rich"} & set(done.stdout.split())


@pytest.fixture
def inside(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let this process belong to the run, outside any job; return its scratch directory."""
    monkeypatch.setenv("PANGEO_HPC_RUN", str(folder))
    monkeypatch.setenv("PANGEO_SCRATCH", str(tmp_path))
    monkeypatch.setattr(session.allocation, "current", lambda: None)
    return tmp_path


def test_inputs_and_outputs_are_below_scratch(inside: Path) -> None:
    """A name, an absolute path, or a URL; a missing input is told before anything is computed."""
    (inside / "in.nc").write_text("1")
    with workflow.start("climatology", cluster=False) as run:
        assert run.name == "climatology"
        assert run.folder.is_dir()
        assert (run.client, run.cluster) == (None, None)
        assert run.input("in.nc") == run.input(inside / "in.nc") == inside / "in.nc"
        assert run.input(f"file://{inside}/in.nc") == inside / "in.nc"
        assert run.output("a/b.zarr") == inside / "a/b.zarr"
        with pytest.raises(UsageError, match=r"input no\.nc is not there: .*/no\.nc"):
            run.input("no.nc")
        with pytest.raises(UsageError, match="is a URL"):
            run.write_zarr(xr.Dataset(), "s3://bucket/out.zarr")
    assert isinstance(sys.excepthook, Words) is False


def test_an_unfinished_input_is_refused(inside: Path) -> None:
    """What another run has not written yet would read as missing values."""
    store = inside / "in.zarr"
    xr.Dataset(attrs={"pangeo_hpc_state": "unfinished", "pangeo_hpc_run": "other"}).to_zarr(
        store, zarr_format=3, consolidated=False
    )
    said = r"in\.zarr is unfinished: run other writes it"
    with (
        workflow.start("climatology", cluster=False) as run,
        pytest.raises(UsageError, match=said),
    ):
        run.input("in.zarr")


def test_a_replaced_input_is_noticed(inside: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Another file under the same name makes units stale; touching it would not."""
    ds = xr.Dataset({"tas": (("time", "x"), np.zeros((4, 2)))})
    source = inside / "in.nc"
    source.write_text("1")
    for text, again in (("1", False), ("1", False), ("2", True)):
        source.write_text(text)
        with workflow.start("climatology", cluster=False) as run:
            run.input("in.nc")
            run.write_zarr(ds, "out.zarr")
        said = capfd.readouterr().err
        assert ("in.nc has changed; 1 unit made before is done again" in said) is again


def test_an_array_is_written_under_its_name(inside: Path) -> None:
    """One array is a dataset of one, if it has a name."""
    array = xr.DataArray(np.zeros((4, 2)), dims=("time", "x"))
    with workflow.start("climatology", cluster=False) as run:
        path = run.write_zarr(array.rename("tas"), "out.zarr")
        with pytest.raises(UsageError, match="has no name"):
            run.write_zarr(array, "other.zarr")
    with xr.open_zarr(path) as ds:
        assert list(ds) == ["tas"]


def test_a_run_must_be_entered() -> None:
    """Nothing is written without holding the run."""
    run = workflow.start("climatology")
    with pytest.raises(UsageError, match="was not entered"):
        run.write_zarr(xr.Dataset(), "out.zarr")
    run._words.remove()


def test_time_is_compared_with_the_slowest_of_the_last_units() -> None:
    """Half a unit more, and what ending takes, must be left."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    pace = Pace([100.0] + [10.0] * 8)
    assert pace.slowest == timedelta(seconds=10)
    pace.add(40)

    def limit(seconds: float) -> Deadline:
        return Deadline(now + timedelta(seconds=seconds), clock=lambda: now)

    assert limit(80).too_late(pace) is None
    assert limit(79).too_late(pace) == (
        "1 minute 19 seconds of walltime left and a unit takes up to 40 seconds"
    )
    assert limit(19).too_late(Pace()) == "19 seconds of walltime left"
    assert limit(-5).too_late(Pace()) == "0 seconds of walltime left"
    assert Deadline(None).too_late(pace) is None


def test_a_terminal_gets_a_bar(folder: Path) -> None:
    """People see a bar, logs see lines, and progress.json is written at most once a second."""
    import io

    from pangeo_hpc.workflow.progress import Progress

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    progress = Progress(folder, stream)
    progress.begin("a.zarr", 1, 3)
    written = (folder / "progress.json").stat().st_ino
    progress.unit("a.zarr", 0.5)
    assert (folder / "progress.json").stat().st_ino == written
    progress.unit("a.zarr", 0.5)
    progress.end("a.zarr")
    assert "a.zarr: 1 of 3 units are there from an earlier attempt" in stream.getvalue()
    assert "3/3" in stream.getvalue()
    kept = json.loads((folder / "progress.json").read_text())
    assert (kept["done"], kept["total"]) == (3, 3)


SITE = """
name: here
scheduler: local
user_state: "{here}/state/{{user}}"
node_types: {{one: {{cores: 1, memory: 1 GiB, walltime: "01:00:00"}}}}
scratch: {{scratch: {{root: {here}, path: "{here}/scratch/{{user}}"}}}}
"""


@pytest.fixture
def site(tmp_path: Path, scripts: Scripts) -> Path:
    """A site of this machine alone; scripts belong to no run that somebody else opened."""
    path = tmp_path / "here.yaml"
    path.write_text(SITE.format(here=tmp_path))
    for name in ("PANGEO_HPC_RUN", "PANGEO_SCRATCH"):
        del scripts.environment[name]
    scripts.environment["PANGEO_HPC_SITE"] = str(path)
    return path


def test_a_plain_script_is_a_run_too(site: Path, scripts: Scripts, tmp_path: Path) -> None:
    """Without any command of ours, a script opens its run, and goes on with it the next time."""
    path = scripts.write(START.replace("0.2", "0") + WRITE)
    assert scripts.run(path)[:2] == (0, "after\n")
    (store,) = (tmp_path / "scratch").glob("*/out.zarr")
    before = stamps(store)
    assert "20 of 20 units are there" in scripts.run(path)[2]
    assert stamps(store) == before
    (run,) = (tmp_path / "state").glob("*/runs/here/climatology")
    assert json.loads((run / "run.json").read_text())["script"] == str(path)
    (output,) = json.loads((run / "outputs.json").read_text())["outputs"]
    assert (output["units"], output["written"], output["skipped"]) == (20, 0, 20)
    assert output["seconds_to_first_unit"] is None
    path.write_text(path.read_text().replace("da.ones", "da.zeros"))
    assert scripts.run(path, PANGEO_HPC_FORCE="1")[0] == 0
    with xr.open_zarr(store) as ds:
        assert float(ds.tas.max()) == 0.0
    path.write_text(path.read_text().replace('print("after")', "    raise SystemExit(7)"))
    assert scripts.run(path, PANGEO_HPC_FORCE="1")[0] == 7
    ends = [(run / "attempts" / name / "exit").read_text() for name in sorted_names(run)]
    assert ends == ["0\n", "0\n", "0\n", "7\n"]


def sorted_names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "attempts").iterdir())


@pytest.mark.slow
def test_dask_is_there_while_the_run_is(site: Path, scripts: Scripts, tmp_path: Path) -> None:
    """The client is the default one; workers write, and are gone with the run."""
    text = START.replace("time.sleep(0.2)", f"open('{tmp_path}/' + str(os.getpid()), 'w')")
    path = scripts.write(
        text.replace("import sys", "import os, sys")
        + """
    with workflow.start("climatology", workers=1) as run:
        from distributed import default_client
        assert default_client() is run.client
        assert len(run.client.scheduler_info()["workers"]) == len(run.cluster.workers) == 1
        run.write_zarr(ds, "out.zarr")
"""
    )
    code, _, err = scripts.run(path)
    assert code == 0, err
    (worker,) = [int(each.name) for each in tmp_path.iterdir() if each.name.isdigit()]
    assert start_ticks(worker) is None
    assert "unit 20 of 20 written" in err


def test_keep_reaches_the_script(site: Path, scripts: Scripts, tmp_path: Path) -> None:
    """`run --keep` goes on beside what an earlier script made; with --force it is no request."""
    path = scripts.write(START.replace("0.2", "0") + WRITE)
    words = [sys.executable, "-m", "pangeo_hpc", "run", str(path), "--name", "climatology"]

    def call(*more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*words, *more],
            env=scripts.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    assert call().returncode == 0
    path.write_text(path.read_text().replace("da.ones", "da.zeros"))
    kept = call("--keep")
    assert kept.returncode == 0, kept.stderr
    assert "the script has changed; 20 units made before are kept" in kept.stderr
    (store,) = (tmp_path / "scratch").glob("*/out.zarr")
    with xr.open_zarr(store) as ds:
        assert float(ds.tas.min()) == 1.0
    again = call()
    assert "the script has changed; 20 units made before are done again" in again.stderr
    with xr.open_zarr(store) as ds:
        assert float(ds.tas.max()) == 0.0
    both = call("--keep", "--force")
    assert both.returncode == 2
    assert "exclude each other" in both.stderr
