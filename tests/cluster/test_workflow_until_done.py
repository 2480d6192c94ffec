"""Runs on the real Slurm that go on in further jobs, and scripts that are warned of their end."""

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from tests.cluster.daemons import until
from tests.cluster.requeued import run_again, shown
from tests.cluster.sites import CommandLine

pytestmark = pytest.mark.usefixtures("anew")

UNITS = 6

SCRIPT = """\
import os, signal, sys, time
from datetime import UTC, datetime
import dask
import dask.array as da
import numpy as np
import xarray as xr
from pangeo_hpc import workflow

output, how, log = sys.argv[1:]

def compute(block, block_info=None):
    unit = block_info[0]["array-location"][0][0] // 4
    with open(log, "a") as file:
        file.write(f"{unit}\\n")
    attempt = os.environ.get("PANGEO_HPC_ATTEMPT")
    if how == "dies" and attempt == "1" and unit == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "dies" and attempt == "2" and unit == 3:
        run._entered.deadline.ends = datetime.now(UTC)
    if how == "hungry" and unit == 1:
        time.sleep(1000)
    if how == "slow" and os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        time.sleep(1)
    return np.sqrt(block)

count = 800 if how == "slow" else 24
values = da.from_array(np.arange(count * 3.0).reshape(count, 3), chunks=(4, 3))
tas = values.map_blocks(compute, dtype="f8", meta=np.zeros((0, 0)))
# one unit after the other, so that it is known which is at work
dask.config.set(scheduler="synchronous")
with workflow.start(cluster=False) as run:
    run.write_zarr(xr.Dataset({"tas": (("time", "x"), tas)}), output, unit=4)
"""


def check(store: Path) -> None:
    with xr.open_zarr(store, chunks=None) as ds:
        found = ds.load()
    expected = np.sqrt(np.arange(found.tas.size * 1.0).reshape(-1, 3))
    assert found.tas.values.tobytes() == expected.tobytes()
    assert found.attrs["pangeo_hpc_state"] == "complete"


def computed(log: Path) -> Counter[int]:
    return Counter(map(int, log.read_text().split()))


def dies(cli: CommandLine, name: str) -> dict[str, Any]:
    """Run a script to its end that is killed, then stops in time, then completes."""
    script, log = cli.script("goes_on.py", SCRIPT), cli.here / f"{name}.log"
    words = ("submit", str(script), "--name", name, "--until-done", "--attempts", "5", "--wait")
    said = cli(*words, "--", f"{name}.zarr", "dies", str(log)).stdout
    assert f"run {name}: complete: attempt 3 completed the run" in said
    check(cli.user.scratch / f"{name}.zarr")
    assert computed(log) == Counter({**dict.fromkeys(range(UNITS), 1), 1: 2})
    cli("runs", "wait", name)

    def waiting() -> str:
        return cli.user.run(["squeue", "--noheader", f"--user={cli.user.name}"]).stdout

    until(lambda: f"{name}-" not in waiting())
    told = cli.json("runs", "show", name)
    assert [each["exit_code"] for each in told["attempts"]] == [137, 75, 0]
    assert told["until_done"]["standing"] == "complete"
    assert 0 < told["until_done"]["core_hours"] < 0.2
    return told


def test_until_done(cli: CommandLine) -> None:
    """Killed, then stopped in time, then complete; Slurm drops the jobs that waited in vain."""
    told = dies(cli, "goes-on")
    (run,) = cli.user.shared.parent.glob("**/runs/testcluster/goes-on")
    kept = [json.loads(path.read_text()) for path in sorted(run.glob("attempts/*/job.json"))]
    assert len({job["id"] for job in kept}) == len({job["name"] for job in kept}) == 5
    assert [job["final"]["state"] for job in kept[3:]] == ["cancelled"] * 2
    assert len({each["job"] for each in told["attempts"]}) == 3


def test_until_done_where_nodes_have_no_commands(hard_cli: CommandLine) -> None:
    """Neither squeue nor a history is needed: all jobs were there from the start."""
    dies(hard_cli, "goes-on-hard")


def test_cancelling_a_chain(cli: CommandLine) -> None:
    """The attempt at work ends, and none follows."""
    script, log = cli.script("goes_on.py", SCRIPT), cli.here / "ended.log"
    words = ("submit", str(script), "--name", "ended", "--until-done", "--attempts", "4", "--json")
    jobs = json.loads(cli(*words, "--", "ended.zarr", "hungry", str(log)).stdout)["jobs"]
    assert len(set(jobs)) == 4
    until(log.exists)
    busy = cli(
        "submit", str(script), "--name", "ended", "--", "ended.zarr", "hungry", str(log), code=4
    )
    assert "run ended is" in busy.stderr
    cli("runs", "cancel", "ended")
    assert "cancelled by `pangeo-hpc runs cancel`" in cli("runs", "wait", "ended", code=1).stdout
    rows = cli.user.run(["squeue", "--noheader", "--states=all", "-o", "%T", "-j", ",".join(jobs)])
    assert set(rows.stdout.split()) <= {"CANCELLED", "COMPLETING"}


def test_a_chain_over_three_jobs_of_an_error(cli: CommandLine) -> None:
    """An error of the script is told once, and its jobs are gone."""
    script = cli.script("wrong.py", "raise SystemExit('no such variable')\n")
    said = cli("submit", str(script), "--until-done", "--wait", code=1)
    assert "failed: attempt 1 failed with exit code 1" in said.stdout
    assert "no such variable" in said.stderr


TRIES = itertools.count(1)
# Slurm may warn up to a minute early: half a minute is left for Python to begin, and at the latest
# the warning comes before the last unit.
BY_HAND = {
    # only the batch shell gets it: it becomes the script
    "shell": ("--time=10 --signal=B:USR1@510", "exec pangeo-hpc {rest}"),
    # all steps get it, the batch shell does not
    "steps": ("--time=10 --signal=USR1@510", "srun --cpus-per-task=2 pangeo-hpc {rest}"),
    # the recipe of the documentation: run again in the same job
    "again": (
        "--time=10 --requeue --open-mode=append --signal=USR1@510",
        """srun --cpus-per-task=2 pangeo-hpc {rest}
code=$?
if [ $code = 75 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
exit $code""",
    ),
    # nobody warns it: it measures
    "alone": ("--time=2", "pangeo-hpc {rest}"),
}


@pytest.mark.slow
def test_warned_in_every_way(cli: CommandLine, cluster: Any) -> None:
    """75 in time, by a signal to the shell or to the steps, or by the clock alone."""
    script = cli.script("warned.py", SCRIPT)
    jobs = {}
    # a second try of this test is not to find what the first has done
    by = f"by-{next(TRIES)}"
    for how, (options, command) in BY_HAND.items():
        log = cli.here / f"{by}-{how}.log"
        rest = f"--site {cli.site} run {script} --name {by}-{how} -- {by}-{how}.zarr slow {log}"
        text = f"#!/bin/bash\n{command.format(rest=rest)}\n"
        job = cli.script(f"{by}-{how}.sh", text)
        argv = ["sbatch", "--parsable", "--ntasks=1", "--cpus-per-task=2", "--mem=1G"]
        argv += [*options.split(), f"--output={by}-{how}.out", str(job)]
        jobs[how] = cli.user.run(argv, cwd=cli.here).stdout.strip()

    # Slurm forgets a job a minute after its end, so that each is looked at while the others run
    codes: dict[str, str] = {}
    restarts: list[int] = []

    def all_ended() -> bool:
        for how in ("shell", "steps", "alone"):
            if how not in codes and shown(cluster, jobs[how], "JobState") == "FAILED":
                codes[how] = shown(cluster, jobs[how], "ExitCode")
        if not restarts and run_again(cluster, jobs["again"]) == "COMPLETED":
            restarts.append(int(shown(cluster, jobs["again"], "Restarts")))
        return len(codes) == 3 and bool(restarts)

    until(all_ended, 400)
    assert restarts[0] >= 1
    # whoever requeued it in the end, it was warned and stopped in time
    assert "asked to stop by SIGUSR1" in (cli.here / f"{by}-again.out").read_text()
    check(cli.user.scratch / f"{by}-again.zarr")
    assert max(computed(cli.here / f"{by}-again.log").values()) == 1
    for how, code in codes.items():
        assert code == "75:0", how
        said = (cli.here / f"{by}-{how}.out").read_text()
        words = "of walltime left" if how == "alone" else "asked to stop by SIGUSR1"
        assert "stopped in time" in said
        assert words in said
        # the unit at work was finished, and is in the ledger
        (run,) = cli.user.shared.parent.glob(f"**/runs/testcluster/{by}-{how}")
        units = len(list(run.glob("ledger/*/*/unit-*.json")))
        assert units == len(computed(cli.here / f"{by}-{how}.log")) > 0


OVERRUNS = """\
import os, time
if os.environ["PANGEO_HPC_ATTEMPT"] == "1":
    open("overruns-began", "w").close()
    time.sleep(1000)
open("overruns-done", "w").write(str(time.time()))
"""
FOLLOWS = """\
import time
began = time.time()
done = float(open("overruns-done").read())
assert done < began
"""


@pytest.mark.slow
def test_after_a_run_until_done(cli: CommandLine, cluster: Any) -> None:
    """The first attempt reaches its walltime, the second completes, and only then it starts."""
    script = cli.script("overruns.py", OVERRUNS)
    words = ("submit", str(script), "--until-done", "--attempts", "3", "--node-type", "short")
    ids = json.loads(cli(*words, "--json").stdout)["jobs"]
    follower = cli.script("follows.py", FOLLOWS)
    job = json.loads(cli("submit", str(follower), "--after", "overruns", "--json").stdout)["job"]
    asked = cli.user.run(["squeue", "--noheader", "-o", "%T %r %E", "-j", job]).stdout.split()
    assert asked[:2] == ["PENDING", "Dependency"]
    assert [f"afterany:{each}" in asked[2] for each in ids] == [True] * 3
    until((cli.here / "overruns-began").exists)
    # its minute is over at once
    cluster.admin(["scontrol", "update", f"jobid={ids[0]}", "endtime=now+5"])
    cli("runs", "wait", "follows")
    told = cli.json("runs", "show", "overruns")["attempts"]
    assert [each["state"] for each in told] == ["timeout", "completed"]
    began = cli.json("runs", "show", "follows")["attempts"][0]["started"]
    assert began >= told[1]["ended"]


def test_after_a_run_that_fails_where_nodes_have_no_commands(hard_cli: CommandLine) -> None:
    """The job begins, reads in the run's files that there is nothing to follow, and says why."""
    script = hard_cli.script("fails_late.py", "import time\ntime.sleep(5)\nraise SystemExit(3)\n")
    follower = hard_cli.script("never.py", "open('never-ran', 'w')\n")
    hard_cli("submit", str(script), "--until-done", "--attempts", "2")
    hard_cli("submit", str(follower), "--after", "fails_late")
    hard_cli("runs", "wait", "never", code=1)
    attempt = hard_cli.json("runs", "show", "never")["attempts"][0]
    assert (attempt["state"], attempt["exit_code"]) == ("failed", 1)
    assert attempt["reason"] == (
        "what it was to follow did not succeed: "
        "run fails_late failed: attempt 1 failed with exit code 3"
    )
    assert not (hard_cli.here / "never-ran").exists()
