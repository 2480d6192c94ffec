"""Chains and notebooks on the real Slurm: dependencies, arrays, a kernel of one's own."""

import json
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cluster.daemons import until
from tests.cluster.sites import CommandLine
from tests.cluster.users import ClusterUser

pytestmark = pytest.mark.usefixtures("anew")

CHAIN = """\
import json, sys
from pangeo_hpc import workflow

chain = workflow.Chain("cmip")
prepare = chain.step("prepare.py", node_type="short", until_done=True, attempts=2)
members = chain.step("member.py", over=["r1", "r2", "r3"], after=prepare, cores=1, memory="500 MiB")
chain.step("collect.py", after=members, cores=1, memory="500 MiB")
told = chain.submit()
if sys.argv[1] == "wait":
    told = chain.wait(timeout=240)
print(json.dumps(told.as_dict()))
"""
PREPARE = """\
from pathlib import Path
Path("prepared").write_text("1")
"""
MEMBER = """\
import sys
from pathlib import Path
from pangeo_hpc import workflow
member = sys.argv[1]
assert Path("prepared").exists()
with workflow.start(cluster=False) as run:
    assert run.name == f"cmip.member.{member}"
print("member", member)
if member == "r2" and not Path("mended").exists():
    raise ValueError("r2 has a gap")
with Path(f"member-{member}").open("a") as file:
    file.write("once ")
"""
COLLECT = """\
from pathlib import Path
Path("collected").write_text("".join(Path(f"member-r{n}").read_text() for n in (1, 2, 3)))
"""


def notebook(*cells: str) -> str:
    """Return a notebook whose first cell takes parameters."""
    tags: list[dict[str, Any]] = [{"tags": ["parameters"]}, *({} for _ in cells[1:])]
    made = [
        {
            "id": f"cell-{number}",
            "cell_type": "code",
            "source": source,
            "metadata": tags[number],
            "outputs": [],
            "execution_count": None,
        }
        for number, source in enumerate(cells)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    about = {"kernelspec": kernel}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": about, "cells": made})


def submitted(cli: CommandLine, how: str) -> dict[str, dict[str, Any]]:
    """Run the chain's program, and return its runs by name."""
    env = {"PANGEO_HPC_SITE": str(cli.site)}
    done = cli.user.run(["python", "chain.py", how], cwd=cli.here, env=env, timeout=280)
    return {row["run"]: row for row in json.loads(done.stdout)["runs"]}


def states(rows: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name.removeprefix("cmip."): row["state"] for name, row in rows.items()}


def test_a_chain_with_a_failing_item(cli: CommandLine) -> None:
    """Only the item that failed, and what follows it, runs again; the array is one job."""
    for name, text in {
        "chain.py": CHAIN,
        "prepare.py": PREPARE,
        "member.py": MEMBER,
        "collect.py": COLLECT,
    }.items():
        cli.script(name, text)
    first = submitted(cli, "wait")
    assert states(first) == {
        "prepare": "completed",
        "member.r1": "completed",
        "member.r2": "failed",
        "member.r3": "completed",
        "collect": "cancelled",
    }
    arrays = [first[f"cmip.member.r{n}"]["job"] for n in (1, 2, 3)]
    number = arrays[0].partition("_")[0]
    assert arrays == [f"{number}_0", f"{number}_1", f"{number}_2"]
    shown = cli.json("runs", "show", "cmip.collect")["attempts"][0]
    told = "what it was to follow did not succeed (DependencyNeverSatisfied)"
    assert shown["reason"] == first["cmip.collect"]["reason"] == told, shown
    assert "r2 has a gap" in cli("runs", "logs", "cmip.member.r2").stdout
    refused = cli("submit", "prepare.py", "--name", "late", "--after", "cmip.member.r2", code=2)
    assert "run cmip.member.r2 did not succeed" in refused.stderr
    cli.script("mended", "")
    second = submitted(cli, "wait")
    assert set(states(second).values()) == {"completed"}
    again = {name for name in second if second[name]["job"] != first[name]["job"]}
    assert again == {"cmip.member.r2", "cmip.collect"}
    assert (cli.here / "collected").read_text() == "once once once "
    third = submitted(cli, "look")
    assert third == second


GROWING = (
    "year = 1\nmodel = 'none'",
    "print('the year is', year + 1, model)",
    (
        "import os, time\n"
        "from pathlib import Path\n"
        "from ipykernel.connect import get_connection_file\n"
        "Path('steps-kernel').write_text(f'{os.getpid()} {get_connection_file()}')\n"
        "while not Path('steps-go').exists(): time.sleep(0.1)"
    ),
    (
        "from pangeo_hpc import workflow\n"
        "with workflow.start('a name of its own', cluster=False) as run:\n"
        "    print('this is run', run.name)"
    ),
    "1 / 0",
)


def outputs(path: Path) -> list[str]:
    """Return what each code cell of an executed notebook has printed so far."""
    cells = json.loads(path.read_text())["cells"]
    return [
        "".join("".join(out.get("text", "")) for out in cell["outputs"])
        for cell in cells
        if cell["cell_type"] == "code"
    ]


def test_a_notebook_grows_and_nobody_else_reaches_its_kernel(
    cli: CommandLine, alice: ClusterUser, bob: ClusterUser
) -> None:
    """The parameter is a number; the executed notebook is readable while it runs, to alice only."""
    cli.script("growing.ipynb", notebook(*GROWING))
    asked = cli("submit", "growing.ipynb", "--", "year=1990", "modl=cesm")
    assert "did you mean model?" in asked.stderr
    until((cli.here / "steps-kernel").exists)
    until(lambda: " " in (cli.here / "steps-kernel").read_text())
    pid, connection = (cli.here / "steps-kernel").read_text().split(" ", 1)
    attempt = cli.json("runs", "show", "growing")["attempts"][0]
    assert "the year is 1991 none\n" in outputs(Path(attempt["notebook"]))
    kernel = psutil.Process(int(pid))
    assert kernel.uids().real == alice.uid
    assert [c for c in kernel.net_connections("inet") if c.status == psutil.CONN_LISTEN] == []
    sockets = list(Path(connection).parent.glob("*-ipc-*"))
    assert len(sockets) == 5
    connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    denied = bob.run(["python", "-c", connect, sockets[0]], check=False)
    assert "PermissionError" in denied.stderr
    assert "Permission denied" in bob.run(["cat", connection], check=False).stderr
    for path in (attempt["notebook"], str(Path(attempt["notebook"]).parent)):
        assert "Permission denied" in bob.run(["ls", path], check=False).stderr
    (cli.here / "steps-go").touch()
    cli("runs", "wait", "growing", "--json", code=1)
    assert "ZeroDivisionError: division by zero" in cli("runs", "logs", "growing").stdout
    attempt = cli.json("runs", "show", "growing")["attempts"][0]
    assert attempt["exit_code"] == 1
    assert attempt["reason"] == "cell 6, In [6]: ZeroDivisionError: division by zero"
    assert "this is run growing\n" in outputs(Path(attempt["notebook"]))
    assert not psutil.pid_exists(int(pid))
    assert not Path(connection).parent.exists()


STOPS = (
    "pace = 0.0",
    (
        "import os, time\n"
        "import dask.array as da, numpy as np, xarray as xr\n"
        "from pangeo_hpc import workflow\n"
        "def slow(block, block_info=None):\n"
        "    time.sleep(pace)\n"
        # the first job finishes two units, and no third one before it is told to stop
        "    while block_info[0]['chunk-location'][0] > 1 and os.path.exists('stops-hold'):\n"
        "        if run._entered.signals.asked:\n"
        "            break\n"
        "        time.sleep(0.1)\n"
        "    return block + 1\n"
        "data = da.zeros((8, 4), chunks=(1, 4))\n"
        "data = data.map_blocks(slow, dtype='f8', meta=np.zeros((0, 0)))\n"
        "with workflow.start(cluster=False) as run:\n"
        "    run.write_zarr(xr.Dataset({'tas': (('time', 'x'), data)}), 'from-notebook.zarr')"
    ),
)


def test_a_notebook_is_told_to_stop_and_goes_on(cli: CommandLine, alice: ClusterUser) -> None:
    """SIGUSR1 reaches the run in the kernel: 75 after a unit, and the next job does the rest."""
    alice.run(["mkdir", "-p", str(alice.scratch)])
    cli.script("stops.ipynb", notebook(*STOPS))
    hold = cli.script("stops-hold", "")
    cli("submit", "stops.ipynb", "--", "pace=0.5")
    until(lambda: bool(cli.json("runs", "show", "stops")["progress"]))
    job = cli.json("runs", "show", "stops")["attempts"][0]["job"]
    alice.run(["scancel", "--batch", "--signal=USR1", job])
    cli("runs", "wait", "stops", code=75)
    hold.unlink()
    told = cli.json("runs", "show", "stops")
    done = told["progress"]["done"]
    assert 0 < done < 8
    assert told["attempts"][0]["reason"].startswith("cell 3, In [3]: StoppedInTime: ")
    cli("submit", "stops.ipynb", "--wait", "--", "pace=0.5")
    assert f"{done} of 8 units are there" in cli("runs", "logs", "stops").stdout
    assert cli.json("runs", "show", "stops")["progress"]["done"] == 8


def test_after_runs_and_jobs(cli: CommandLine, alice: ClusterUser) -> None:
    """A job starts after a run that lives, after a complete one at once; names are guessed."""
    waits = "import os, time\nwhile not os.path.exists('steps-release'): time.sleep(0.1)\n"
    script = str(cli.script("releases.py", waits))
    cli("submit", script, "--name", "releases")
    second = str(cli.script("released.py", "import os\nassert os.path.exists('steps-release')\n"))
    cli("submit", second, "--name", "released", "--after", "releases")
    wrong = cli("submit", second, "--name", "unreleased", "--after", "relaeses,releasd", code=2)
    assert "did you mean releases?" in wrong.stderr
    assert "did you mean released?" in wrong.stderr
    unknown = cli("submit", second, "--name", "unreleased", "--after", "999999", code=2)
    assert "slurm knows no such job" in unknown.stderr
    (cli.here / "steps-release").touch()
    os.chown(cli.here / "steps-release", alice.uid, alice.gid)
    cli("runs", "wait", "released")
    cli("submit", second, "--name", "at-once", "--after", "releases", "--wait")


ITEMS = """\
import json
from pangeo_hpc import workflow

chain = workflow.Chain("hard")
years = chain.step("yearly.ipynb", over=[1990, 1991], parameters={"year": "{item}"}, cores=1)
chain.step("after.py", after=years, cores=1)
chain.submit()
print(json.dumps(chain.wait(timeout=240).as_dict()))
"""


def test_notebooks_of_an_array_without_home_and_commands(
    hard_cli: CommandLine, hard_alice: ClusterUser
) -> None:
    """Where nodes see neither /home nor Slurm's commands, and nothing is accounted for."""
    cell = "print('the year is', year + 1)"
    hard_cli.script("yearly.ipynb", notebook("year = 1", cell))
    hard_cli.script("after.py", "print('after all')\n")
    hard_cli.script("hard.py", ITEMS)
    env = {"PANGEO_HPC_SITE": str(hard_cli.site)}
    done = hard_alice.run(["python", "hard.py"], cwd=hard_cli.here, env=env, timeout=280)
    rows = json.loads(done.stdout)["runs"]
    assert {row["run"]: row["state"] for row in rows} == {
        "hard.yearly.1990": "completed",
        "hard.yearly.1991": "completed",
        "hard.after": "completed",
    }, done.stdout
    for year in (1990, 1991):
        shown = hard_cli.json("runs", "show", f"hard.yearly.{year}")["attempts"][0]
        assert f"the year is {year + 1}\n" in outputs(Path(shown["notebook"]))
