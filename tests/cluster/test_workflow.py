"""Runs on the real Slurm: over several nodes, killed, requeued, and out of walltime."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.cluster.daemons import until
from tests.cluster.sites import CommandLine
from tests.cluster.users import ClusterUser

pytestmark = pytest.mark.usefixtures("anew")

STEPS, UNITS = 48, 24

ROOTS = """\
import os, sys, time
import numpy as np
import xarray as xr
from pangeo_hpc import workflow

output, pace = sys.argv[1], float(sys.argv[2])

def root(block):
    if not hurry.exists():
        time.sleep(pace)
    # an attempt that is to be killed does not come beyond the middle
    while block.max() > 600 and hold.exists():
        time.sleep(0.1)
    return np.sqrt(block)

with workflow.start() as run:
    hold, hurry = (run.output(output).with_suffix(each) for each in (".hold", ".hurry"))
    hosts = run.client.run(lambda: os.uname().nodename).values()
    print("hosts", *sorted(set(hosts)), flush=True)
    ds = xr.open_zarr(run.input("tas.zarr"))
    tas = ds.tas.copy(data=ds.tas.data.map_blocks(root, dtype="f8"))
    # files of each unit, which tell whether it was written again
    run.write_zarr(tas.to_dataset(), output, encoding={"tas": {"chunks": (2, 4, 3)}})
"""


def reference() -> xr.Dataset:
    """What the script makes of its input, computed by NumPy alone."""
    ds = source()
    return ds.assign(tas=ds.tas.copy(data=np.sqrt(ds.tas.values)))


def source() -> xr.Dataset:
    values = np.arange(STEPS * 24.0).reshape(STEPS, 4, 6)
    time_ = xr.date_range("2000-01-01", periods=STEPS, freq="MS", calendar="noleap")
    return xr.Dataset({"tas": (("time", "y", "x"), values)}, {"time": time_})


def prepare(cli: CommandLine) -> str:
    """Put the input on the user's scratch, and return the script."""
    user = cli.user
    user.run(["mkdir", "-p", str(user.scratch)])
    store = user.scratch / "tas.zarr"
    shutil.rmtree(store, ignore_errors=True)
    encoding = {"tas": {"chunks": (STEPS // UNITS, 4, 3)}}
    source().to_zarr(store, zarr_format=3, consolidated=False, encoding=encoding)
    for path in (store, *store.rglob("*")):
        os.chown(path, user.uid, user.gid)
    return str(cli.script("roots.py", ROOTS))


@pytest.fixture(scope="module")
def roots(cli: CommandLine) -> str:
    return prepare(cli)


def check(store: Path) -> xr.Dataset:
    """Compare an output with the reference and return it."""
    with xr.open_zarr(store, chunks=None) as ds:
        found = ds.load()
    xr.testing.assert_equal(found, reference())
    assert found.attrs["pangeo_hpc_state"] == "complete"
    return found


def done(cli: CommandLine, run: str) -> int:
    progress = cli.json("runs", "show", run)["progress"]
    return int(progress["done"]) if progress else 0


def stamps(store: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of each data file of a store."""
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in store.glob("tas/c/*/*/*")
        if not path.name.endswith(".partial")
    }


def kill(cli: CommandLine, run: str, job: str) -> None:
    """Send SIGKILL to every process of a job, and wait until Slurm has cleaned up."""
    cli.user.run(["scancel", "--signal=KILL", "--full", job])
    until(
        lambda: cli.json("runs", "show", run)["attempts"][0]["state"] not in ("running", "ending")
    )


def test_three_nodes_equal_numpy(cli: CommandLine, alice: ClusterUser, roots: str) -> None:
    """A submitted job of three nodes computes on all of them, and says so in its output."""
    cli("submit", roots, "--name", "three", "--nodes", "3", "--wait", "--", "three.zarr", "0")
    told = cli.json("runs", "show", "three")
    assert told["progress"]["done"] == told["progress"]["total"] == UNITS
    job = told["attempts"][-1]["job"]
    found = check(alice.scratch / "three.zarr")
    assert found.attrs["pangeo_hpc_jobs"] == job
    assert found.attrs["pangeo_hpc_site"] == "testcluster"
    assert found.attrs["pangeo_hpc_script"] == roots
    assert found.attrs["pangeo_hpc_arguments"] == "three.zarr 0"
    hosts = cli("runs", "logs", "three").stdout.partition("hosts ")[2].splitlines()[0].split()
    assert len(hosts) == 3


def test_a_hand_written_script_of_three_nodes(
    cli: CommandLine, alice: ClusterUser, roots: str
) -> None:
    """`pangeo-hpc run` in an sbatch script of one's own gives the same."""
    script = cli.script(
        "three.sh",
        "#!/bin/bash\n#SBATCH --nodes=3 --ntasks-per-node=1 --cpus-per-task=2\n"
        "#SBATCH --time=5 --mem=1500M\n"
        f"pangeo-hpc --site {cli.site} run {roots} --name byhand-roots -- byhand.zarr 0\n",
    )
    assert cli.sbatch(script)[0] == 0
    check(alice.scratch / "byhand.zarr")


def test_killed_in_mid_write_and_run_again(
    cli: CommandLine, alice: ClusterUser, roots: str
) -> None:
    """SIGKILL for every process of the job; what was finished is not written again."""
    words = ("submit", roots, "--name", "killed-roots", "--nodes", "2")
    arguments = ("--", "killed.zarr", "0.8")
    hold = alice.scratch / "killed.hold"
    hold.touch()
    cli(*words, *arguments)
    until(lambda: done(cli, "killed-roots") >= 3)
    busy = cli("run", roots, "--name", "killed-roots", *arguments, code=4)
    assert "is being computed by job" in busy.stderr
    assert "runs cancel killed-roots" in busy.stderr
    job = cli.json("runs", "show", "killed-roots")["attempts"][0]["job"]
    kill(cli, "killed-roots", job)
    store = alice.scratch / "killed.zarr"
    (run,) = alice.shared.parent.glob("**/runs/testcluster/killed-roots")
    units = [p.stem.removeprefix("unit-") for p in run.glob("ledger/*/*/unit-*.json")]
    finished = [f"{store}/tas/c/{int(unit)}/" for unit in units]
    before = {k: v for k, v in stamps(store).items() if k.startswith(tuple(finished))}
    assert 3 <= len(units) < UNITS
    assert len(before) == 2 * len(units)
    hold.unlink()
    cli(*words, "--wait", *arguments)
    after = stamps(store)
    assert {key: after[key] for key in before} == before
    jobs = check(store).attrs["pangeo_hpc_jobs"].split(", ")
    assert len(jobs) == 2
    assert job in jobs


TWICE = """\
#!/bin/bash
#SBATCH --ntasks=1 --cpus-per-task=4 --time=10 --mem=3000M
step="srun --overlap --ntasks=1 --cpus-per-task=2 --mem=1500M"
attempt="pangeo-hpc --site {site} run {roots} --name twice -- twice.zarr 0.3"
($step $attempt > first.log 2>&1; echo $? > first.code) &
until [ -e overtake ]; do sleep 0.1; done
$step env SLURM_RESTART_COUNT=1 $attempt > second.log 2>&1
code=$?
wait
exit $code
"""


def test_a_requeued_attempt_follows_the_one_that_still_lives(
    cli: CommandLine, alice: ClusterUser, roots: str
) -> None:
    """Beside a step that outlived its slurmd, the later attempt takes over, and the first stops."""
    script = cli.script("twice.sh", TWICE.format(site=cli.site, roots=roots))
    # the first is still at work when the second has begun, however long that takes
    hold = alice.scratch / "twice.hold"
    hold.touch()
    job = alice.run(["sbatch", "--parsable", str(script)], cwd=cli.here).stdout.strip()
    until((cli.here / "first.log").exists)
    until(lambda: "unit 2 of" in (cli.here / "first.log").read_text())
    (cli.here / "overtake").touch()
    (run,) = alice.shared.parent.glob("**/runs/testcluster/twice")
    until((run / "leases" / "0002.json").exists)
    hold.unlink()
    code = cli.here / "first.code"
    until(lambda: code.exists() and code.read_text())
    assert code.read_text() == "4\n"
    assert f"was taken over by job {job}" in (cli.here / "first.log").read_text()
    until(lambda: not alice.run(["squeue", "--noheader", f"--jobs={job}"], check=False).stdout)
    assert "units are there from an earlier attempt" in (cli.here / "second.log").read_text()
    check(alice.scratch / "twice.zarr")


@pytest.mark.slow
def test_it_stops_before_the_walltime_and_goes_on(
    cli: CommandLine, alice: ClusterUser, roots: str
) -> None:
    """75 instead of a timeout; the next job does the rest."""
    words = ("submit", roots, "--name", "long", "--wait")
    # a busy machine starts Dask slowly, so that both have time
    told = cli(*words, "--walltime", "00:02:00", "--", "long.zarr", "5", code=75)
    assert "submit it again" in told.stdout + told.stderr
    assert "stopped in time" in cli("runs", "logs", "long").stdout
    before = stamps(alice.scratch / "long.zarr")
    assert 0 < len(before) < 2 * UNITS
    (alice.scratch / "long.hurry").touch()
    cli(*words, "--walltime", "00:05:00", "--", "long.zarr", "5")
    after = stamps(alice.scratch / "long.zarr")
    assert {key: after[key] for key in before} == before
    check(alice.scratch / "long.zarr")


def test_nodes_without_home_and_commands(hard_cli: CommandLine, hard_alice: ClusterUser) -> None:
    """Where nodes see neither /home nor squeue, runs are killed and go on all the same."""
    cli, roots = hard_cli, prepare(hard_cli)
    words = ("submit", roots, "--name", "hard-roots", "--nodes", "2")
    hold = hard_alice.scratch / "hard.hold"
    hold.touch()
    cli(*words, "--", "hard.zarr", "0.2")
    until(lambda: done(cli, "hard-roots") >= 2)
    job = cli.json("runs", "show", "hard-roots")["attempts"][0]["job"]
    kill(cli, "hard-roots", job)
    hold.unlink()
    cli(*words, "--wait", "--", "hard.zarr", "0.2")
    check(hard_alice.scratch / "hard.zarr")
