"""Independent items on the real Slurm: over two nodes, killed, gone on with, and staged out."""

from collections import Counter
from pathlib import Path

import pytest

from tests.cluster.daemons import until
from tests.cluster.sites import CommandLine
from tests.cluster.users import ClusterUser

pytestmark = pytest.mark.usefixtures("anew")

ITEMS = 24

MEMBERS = """\
import os, sys, time
import numpy as np
import xarray as xr
from pangeo_hpc import workflow

log, archive, pace = sys.argv[1], sys.argv[2], float(sys.argv[3])

def process(member):
    with open(log, "a") as file:
        file.write(f"{member} {os.uname().nodename}\\n")
    time.sleep(pace)
    # an attempt that is to be killed does not come beyond the middle
    while member >= 12 and os.path.exists(log + ".hold"):
        time.sleep(0.1)
    return xr.Dataset({"tas": ("time", np.arange(10.0) * member)})

with workflow.start() as run:
    total = xr.Dataset({"tas": ("time", np.zeros(10))})
    for number, series in enumerate(run.map(process, range(24), save="members")):
        total += series.load()
    run.write_zarr(total, "total.zarr")
    print(run.stage_out("total.zarr", archive))
"""


def computed(log: Path) -> Counter[int]:
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter(int(line.split()[0]) for line in lines)


def test_killed_in_mid_map_and_run_again(cli: CommandLine, alice: ClusterUser) -> None:
    """What was noted is not computed again, both nodes compute, and the copy is equal."""
    script = cli.script("members.py", MEMBERS)
    log, archive = cli.here / "members.log", cli.here / "archive"
    words = ("submit", str(script), "--name", "members", "--nodes", "2")
    hold = cli.here / "members.log.hold"
    hold.touch()
    cli(*words, "--", str(log), str(archive), "0.5")
    (run,) = cli_runs(cli)
    items = run / "maps" / "process" / "items"
    until(lambda: len(list(items.glob("*.json"))) >= 4)
    job = cli.json("runs", "show", "members")["attempts"][0]["job"]
    alice.run(["scancel", "--signal=KILL", "--full", job])
    until(
        lambda: (
            cli.json("runs", "show", "members")["attempts"][0]["state"] not in ("running", "ending")
        )
    )
    noted, before = len(list(items.glob("*.json"))), computed(log)
    assert 4 <= noted < ITEMS
    hold.unlink()
    cli(*words, "--wait", "--", str(log), str(archive), "0.5")
    after = computed(log)
    assert sum(after.values()) - sum(before.values()) == ITEMS - noted
    assert sorted(after) == list(range(ITEMS))
    assert len({line.split()[1] for line in log.read_text().splitlines()}) == 2
    outputs = {each["path"]: each for each in cli.json("runs", "show", "members")["outputs"]}
    told = outputs[str(alice.scratch / "members")]
    assert (told["units"], told["skipped"], told["complete"]) == (ITEMS, noted, True)
    (place,) = outputs[str(alice.scratch / "total.zarr")]["staged_to"].values()
    assert place["files"] == place["copied"] > 2
    copy, source = archive / "total.zarr", alice.scratch / "total.zarr"
    for path in source.rglob("*"):
        if path.is_file():
            assert (copy / path.relative_to(source)).read_bytes() == path.read_bytes()
    import numpy as np
    import xarray as xr

    with xr.open_zarr(copy, chunks=None) as ds:
        np.testing.assert_array_equal(ds.tas, np.arange(10.0) * sum(range(ITEMS)))


def cli_runs(cli: CommandLine) -> list[Path]:
    return list(cli.user.shared.parent.glob("**/runs/testcluster/members"))
