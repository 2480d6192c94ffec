"""Scripts that map, as users write them: with workers that die, and killed themselves."""

import json
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.unit.workflow.conftest import Scripts

SITE = """\
name: here
scheduler: local
user_state: "{here}/state/{{user}}"
node_types:
  small: {{cores: 2, memory: 2 GiB, walltime: "00:30:00"}}
scratch:
  scratch: {{path: "{here}/scratch/{{user}}"}}
"""

KILLED = """
    import os, sys, time
    import numpy as np
    import xarray as xr
    from pangeo_hpc import workflow

    def process(member):
        with open(sys.argv[1], "a") as log:
            log.write(f"{member}\\n")
        time.sleep(0.03)
        if member % 3 == 0:
            return xr.Dataset({"tas": ("x", np.arange(5.0) + member)}, attrs={"member": member})
        return (member, float("nan")) if member % 3 == 1 else {member}

    with workflow.start("climatology", cluster=False) as run:
        total = 0
        for member, result in enumerate(run.map(process, range(24), save="members")):
            if member % 3 == 0:
                total += int(result.tas.sum())
                assert result.attrs["member"] == member
            elif member % 3 == 1:
                assert result[0] == member and result[1] != result[1]
            else:
                assert result == {member}
    print("total", total)
"""


def ended(scripts: Scripts, path: Path, **environment: str) -> tuple[int, str, str]:
    """Run a script with workers to its end, which takes long on a busy machine."""
    with scripts.start(path, **environment) as process:
        out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def computed(log: Path) -> Counter[int]:
    return Counter(int(line) for line in log.read_text().split()) if log.exists() else Counter()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_at_any_moment(scripts: Scripts, folder: Path, tmp_path: Path) -> None:
    """No item that was noted is computed again, none that was half written is taken for done."""
    log = tmp_path / "log"
    path = scripts.write(KILLED.replace("sys.argv[1]", repr(str(log))))
    items = folder / "maps" / "process" / "items"
    chance = random.Random(7)
    kills = flying = 0
    while kills < 5:
        before = computed(log)
        noted = {json.loads(each.read_text())["label"] for each in items.glob("*.json")}
        with scripts.start(path) as process:
            end = time.monotonic() + 180
            while computed(log) == before and process.poll() is None:
                assert time.monotonic() < end
                time.sleep(0.002)
            time.sleep(chance.uniform(0.0, 0.2))
            process.kill()
            process.communicate()
        kills += 1
        after = computed(log)
        assert all(after[int(label)] == before[int(label)] for label in noted)
        now = {json.loads(each.read_text())["label"] for each in items.glob("*.json")}
        flying += sum((after - before).values()) - len(now - noted)
    code, out, err = ended(scripts, path)
    assert code == 0, err
    assert out == f"total {sum(5 * n + 10 for n in range(0, 24, 3))}\n"
    assert "failed" not in err
    assert sum(computed(log).values()) == 24 + flying
    # results that the killed attempts had written and not noted are gone
    assert len(list((tmp_path / "scratch" / "members").iterdir())) == 8
    assert len(list((folder / "maps/process/results").iterdir())) == 8
    code, out, err = ended(scripts, path)
    assert code == 0
    assert sum(computed(log).values()) == 24 + flying
    assert "process: 24 of 24 items are there from an earlier attempt" in err


DIES = """
    import os, signal
    from pangeo_hpc import workflow

    class Result:
        def __init__(self, value):
            self.value = value

    SCALE = 10

    def process(member):
        if member == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if member == 3:
            raise ValueError("no such member")
        return Result(member * SCALE)

    with workflow.start("climatology", workers=2) as run:
        import dask
        run.client.run_on_scheduler(
            lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 1)
        )
        for result in run.map(process, range(6), retries=1):
            assert isinstance(result, Result)
            print(result.value, flush=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_worker_that_dies_by_an_item(scripts: Scripts, folder: Path, tmp_path: Path) -> None:
    """That item has failed after its tries; the others are done, those beside it included."""
    site = tmp_path / "here.yaml"
    site.write_text(SITE.format(here=tmp_path))
    path = scripts.write(DIES)
    code, out, err = ended(scripts, path, PANGEO_HPC_SITE=str(site), PYTHONWARNINGS="default")
    assert code == 1, err
    assert out.split() == ["0", "10", "40", "50"]
    assert "2 of 6 items of process failed after 2 tries each, the others are done:" in err
    assert "3  ValueError: no such member" in err
    assert "2  its worker died each time, perhaps for lack of memory (KilledWorker: " in err
    assert "Traceback (most recent call last):\n  File" in err
    told = json.loads((folder / "outputs.json").read_text())["outputs"]
    assert [each["item"] for each in told[0]["failed"]] == ["3", "2"]


UNSENT = """
    from pangeo_hpc import workflow

    with workflow.start("climatology", workers=1) as run:
        def process(member):
            return run.output(member)
        list(run.map(process, ["a"]))
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_function_that_cannot_be_sent(scripts: Scripts, tmp_path: Path) -> None:
    """The run stays in the script, and that is said in one line."""
    site = tmp_path / "here.yaml"
    site.write_text(SITE.format(here=tmp_path))
    code, _, err = ended(scripts, scripts.write(UNSENT), PANGEO_HPC_SITE=str(site))
    assert code == 2, err
    assert "error: the function of map process cannot be sent to workers" in err
    assert "Traceback" not in err


STOPS = """
    import time
    from datetime import UTC, datetime, timedelta
    from pangeo_hpc import workflow
    from pangeo_hpc.workflow import session

    class Inside:
        ends = datetime.now(UTC) + timedelta(seconds=3600)
        job_id, scheduler = "41", "slurm"
        class facts: restarts = 0
    session.allocation.current = lambda: Inside

    def process(member):
        return member

    with workflow.start("climatology", cluster=False) as run:
        for member in run.map(process, range(2000)):
            if member == 3:
                run._entered.deadline.ends = datetime.now(UTC)
"""


def test_it_ends_with_75_before_the_walltime(scripts: Scripts) -> None:
    """As `write_zarr` does, with the number of items that are done."""
    code, _, err = ended(scripts, scripts.write(STOPS))
    assert code == 75, err
    assert "run climatology stopped in time: " in err
    assert "of 2000 items of process are done" in err
    assert "Traceback" not in err
