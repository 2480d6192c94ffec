"""The main job on the real Slurm: Xarray over three nodes, Zarr on scratch, the right numbers."""

import json
import textwrap

import numpy as np
import pytest

from tests.cluster.sites import CommandLine

pytestmark = pytest.mark.usefixtures("anew")

MONTHS, LAT, LON = 48, 24, 36

INPUT = f"""\
import numpy as np, pandas as pd, sys, xarray as xr
rng = np.random.default_rng(1)
values = rng.normal(288, 10, ({MONTHS}, {LAT}, {LON})).astype("float32")
np.save(sys.argv[1] + "/tas.npy", values)
time = pd.date_range("2000-01-01", periods={MONTHS}, freq="MS")
ds = xr.Dataset({{"tas": (("time", "lat", "lon"), values, {{"units": "K"}})}}, {{"time": time}})
out = sys.argv[1] + "/tas.zarr"
ds.chunk(time=6).to_zarr(out, mode="w", zarr_format=3, consolidated=False)
"""

CLIMATOLOGY = """\
import json, socket
import xarray as xr
from pangeo_hpc import workflow

with workflow.start("climatology") as run:
    hosts = run.client.run(socket.gethostname)
    ds = xr.open_zarr(run.input("tas.zarr"), consolidated=False)
    clim = ds.tas.groupby("time.month").mean("time").to_dataset().chunk(month=3)
    run.write_zarr(clim, "climatology.zarr")
    print(json.dumps(sorted(hosts.values())))
"""

VALUES = """\
import sys, numpy as np, xarray as xr
with xr.open_zarr(sys.argv[1]) as ds:
    np.save(sys.argv[2], ds.tas.values)
    print(ds.attrs)
"""


class Science:
    """One user's input, script and results on a cluster."""

    def __init__(self, cli: CommandLine) -> None:
        self.cli, self.user = cli, cli.user
        self.python(cli.script("make_input.py", INPUT), str(self.user.scratch))
        self.script = str(cli.script("climatology.py", CLIMATOLOGY))
        self.values = cli.script("values.py", VALUES)

    def python(self, *words: object) -> str:
        return self.user.run(["python", *map(str, words)], cwd=self.cli.here, timeout=120).stdout

    def reference(self) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
        """Return the month means, computed from the plain array by NumPy alone."""
        plain = np.load(self.user.scratch / "tas.npy").astype("float64")
        return plain.reshape(-1, 12, LAT, LON).mean(axis=0)

    def result(self) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
        """Return what the run wrote, as any reader of Zarr sees it."""
        out = self.user.scratch / "result.npy"
        self.python(self.values, self.user.scratch / "climatology.zarr", out)
        found: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = np.load(out)
        return found

    def forget(self) -> None:
        """Remove the output, so that the next run has to write it."""
        for name in ("climatology.zarr", "result.npy"):
            self.user.run(["rm", "-rf", str(self.user.scratch / name)], timeout=30)


@pytest.fixture(scope="module")
def science(cli: CommandLine) -> Science:
    return Science(cli)


@pytest.fixture(scope="module")
def hard_science(hard_cli: CommandLine) -> Science:
    return Science(hard_cli)


def check(science: Science, run: str) -> list[str]:
    """Compare the output with NumPy and return the hosts of the workers."""
    np.testing.assert_allclose(science.result(), science.reference(), rtol=1e-6)
    printed = science.cli("runs", "logs", run).stdout
    hosts: list[str] = json.loads(next(li for li in printed.splitlines() if li.startswith("[")))
    return hosts


def submitted(science: Science, name: str) -> None:
    science.forget()
    words = ("submit", science.script, "--nodes", "3", "--name", name, "--wait")
    science.cli(*words)
    assert set(check(science, name)) == {"c1", "c2", "c3"}
    shown = science.cli.json("runs", "show", name)
    assert shown["progress"]["done"] == shown["progress"]["total"] == 4
    assert shown["attempts"][-1]["nodes"] == ["c1", "c2", "c3"]


def by_hand(science: Science, name: str) -> None:
    science.forget()
    script = science.cli.script(
        f"{name}.sh",
        textwrap.dedent(f"""\
            #!/bin/bash
            #SBATCH --nodes=3 --ntasks-per-node=1 --cpus-per-task=2 --mem=1500M --time=10
            #SBATCH --output={science.cli.here}/{name}.log
            pangeo-hpc --site {science.cli.site} run {science.script} --name {name}
            """),
    )
    code, _ = science.cli.sbatch(script, timeout=300)
    log = (science.cli.here / f"{name}.log").read_text()
    assert code == 0, log
    np.testing.assert_allclose(science.result(), science.reference(), rtol=1e-6)
    hosts = json.loads(next(li for li in log.splitlines() if li.startswith("[")))
    assert set(hosts) == {"c1", "c2", "c3"}


def test_submitted_over_three_nodes(science: Science) -> None:
    """`submit --nodes 3` equals NumPy to 1e-6, and every node has workers."""
    submitted(science, "climatology")


def test_a_hand_written_script_over_three_nodes(science: Science) -> None:
    """`pangeo-hpc run` in an sbatch script of one's own equals NumPy to 1e-6."""
    by_hand(science, "byhand")


def test_nodes_that_see_little(hard_science: Science) -> None:
    """The same where nodes see no /home and no Slurm commands, and nobody keeps accounts."""
    submitted(hard_science, "hard")
    by_hand(hard_science, "hardbyhand")


def test_an_end_without_accounting(hard_cli: CommandLine) -> None:
    """Without slurmdbd the exit code is known from the job's own file, also when Slurm forgot."""
    script = str(hard_cli.script("seven.py", "raise SystemExit(7)\n"))
    hard_cli("submit", script, "--wait", code=1)
    last = hard_cli.json("runs", "show", "seven")["attempts"][-1]
    assert (last["state"], last["exit_code"]) == ("failed", 7)


def test_a_script_on_the_login_node(cli: CommandLine) -> None:
    """Outside any job `run` computes here, and warns that this is a login node."""
    script = cli.script("plain.py", "print(sum(range(10)))\n")
    done = cli("run", str(script))
    assert done.stdout == "45\n"
    assert "pangeo-hpc submit" in done.stderr
    last = cli.json("runs", "show", "plain")["attempts"][-1]
    assert (last["state"], last["job"]) == ("completed", None)


SLOW = """\
import time
import dask.array as da, numpy as np, xarray as xr
from pangeo_hpc import workflow

def slowly(block):
    time.sleep(4)
    return block

values = da.zeros((400, 4), chunks=(4, 4), dtype="float32").map_blocks(slowly, dtype="float32")
with workflow.start(cluster=False) as run:
    run.write_zarr(xr.Dataset({"x": (("t", "y"), values)}), "slow.zarr")
"""


def test_a_hand_written_script_stops_in_time(hard_cli: CommandLine) -> None:
    """Nobody tells such a job when it ends: the scheduler is asked, and the exit code is 75."""
    slow = hard_cli.script("slow.py", SLOW)
    script = hard_cli.script(
        "slow.sh",
        "#!/bin/bash\n#SBATCH --time=2 --mem=1500M --cpus-per-task=2\n"
        f"#SBATCH --output={hard_cli.here}/slow.log\n"
        f"pangeo-hpc --site {hard_cli.site} run {slow}\n",
    )
    code, _ = hard_cli.sbatch(script, timeout=300)
    log = (hard_cli.here / "slow.log").read_text()
    assert code == 75, log
    progress = hard_cli.json("runs", "show", "slow")["progress"]
    assert 0 < progress["done"] < progress["total"] == 100
