"""Arrays: the ids of their elements, what limits them, and how an element knows its index."""

import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pangeo_hpc.run import Recorder, Result, converse
from pangeo_hpc.schedulers.base import JobRequest, Room, SchedulerOptions
from pangeo_hpc.schedulers.local import Local
from pangeo_hpc.schedulers.pbs import PBS
from pangeo_hpc.schedulers.pbs_nodes import room
from pangeo_hpc.schedulers.script import render
from pangeo_hpc.schedulers.slurm import Slurm
from pangeo_hpc.schedulers.slurm_ids import grouped, ungrouped, with_whole_arrays
from pangeo_hpc.testing import read_transcript
from pangeo_hpc.testing.transcripts import Replay

REQUEST = JobRequest(
    name="dask-abcd", command=("true",), cores=1, walltime=timedelta(minutes=1), account="ocean"
)


def answer(text: str, code: int = 0, error: str = "") -> Result:
    return Result((), code, text, error)


def test_ids_of_elements() -> None:
    """Each scheduler's own form, in the order of the indices."""
    assert Slurm(SchedulerOptions()).elements("123", 2) == ("123_0", "123_1")
    assert Local(SchedulerOptions()).elements("7", 2) == ("7_0", "7_1")
    elements = PBS(SchedulerOptions()).elements("131[].pbs.site", 2)
    assert elements == ("131[0].pbs.site", "131[1].pbs.site")


CONFIG = "ClusterName             = alpha\nMaxArraySize            = 1001\n"
DBD = f"{CONFIG}AccountingStorageType   = accounting_storage/slurmdbd\n"


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([answer(CONFIG)], Room(elements=1001)),
        ([answer(CONFIG.replace("1001", "0"))], Room(elements=1)),
        ([answer(DBD), answer("ocean|300||\n"), answer("normal|40|\nlong|2|\n")], Room(1001, 40)),
        ([answer(DBD), answer("ocean|300||long\n"), answer("long||200\n")], Room(1001, 200)),
        ([answer(DBD), answer("climate|5||\nocean|||\n"), answer("")], Room(1001, None)),
        ([answer(DBD), answer("", 1, "sacctmgr: error"), answer("", 1)], Room(1001, None)),
        ([answer(DBD), answer("a banner\n"), answer("normal|||\n")], Room(1001, None)),
    ],
)
def test_room_on_slurm(answers: list[Result], expected: Room) -> None:
    """MaxArraySize, and the least limit of the account's association and of its QOS.

    Where MaxArraySize is 0 there are no arrays, and jobs go one by one.
    """
    runner = Recorder(answers)
    assert converse(Slurm(SchedulerOptions()).room(REQUEST, "alice"), runner) == expected
    assert len(runner.commands) == len(answers)


RECORDINGS = Path(__file__).parents[2] / "recordings" / "pbs"


def test_room_on_pbs() -> None:
    """The limits that a real server and its queue `develop` told."""
    pbs = PBS(SchedulerOptions())
    steps = [
        s
        for name in ("02-server", "03-queues")
        for s in read_transcript(RECORDINGS / f"{name}.txt")
    ]
    request = replace(REQUEST, queue="develop")
    assert converse(pbs.room(request, "alice"), Replay(steps)) == Room(10000, 40)
    assert converse(pbs.room(REQUEST, "alice"), Replay(steps)) == Room(10000, None)


def test_the_least_room_of_a_user() -> None:
    """A user's own limit counts before everybody's, and the least of server and queue."""
    server = {"max_array_size": "10000", "max_queued": "[u:PBS_GENERIC=50],[u:alice=80]"}
    queue = {"max_array_size": "20", "max_queued": "[o:PBS_ALL=7],[u:PBS_GENERIC=60]"}
    assert room([server], "alice") == Room(10000, 80)
    assert room([server, queue], "alice") == Room(20, 60)
    assert room([server, queue], "bob") == Room(20, 50)


def test_words_for_scancel() -> None:
    """Elements of an array are one word; what scancel says of it is about each of them."""
    ids = ["9", "12_3", "12_0", "12_1", "13_4", "12_2", "12_7"]
    assert grouped(ids) == ["9", "12_[0-3,7]", "13_4"]
    assert ungrouped("12_[0-3,7]", ids) == ["12_3", "12_0", "12_1", "12_2", "12_7"]
    assert ungrouped("13_4", ids) == ["13_4"]
    assert ungrouped("9", ids) == ["9"]
    said = answer("", 1, "scancel: error: Kill job error on job id 12_[0-3,7]: Access denied\n")
    problems = converse(Slurm(SchedulerOptions()).cancel(ids), Recorder([said]))
    assert problems == {i: "Access denied" for i in ids if i.startswith("12_")}


def test_many_elements_are_asked_for_by_their_array() -> None:
    """A long list of elements is one id; a few are named."""
    many = [f"12_{index}" for index in range(200)]
    assert with_whole_arrays([*many, "13_1", "13_2", "14", "x"]) == ["12", "13_1", "13_2", "14"]


@pytest.mark.parametrize(
    "variable", ["SLURM_ARRAY_TASK_ID", "PBS_ARRAY_INDEX", "PANGEO_LOCALQUEUE_INDEX"]
)
def test_an_element_knows_its_index(tmp_path: Path, variable: str) -> None:
    """The script tells its index to the command, and keeps the exit status of this element."""
    folder = tmp_path / "it's here"
    (folder / "3").mkdir(parents=True)
    request = JobRequest(
        name="d",
        command=("/bin/bash", "-c", 'echo "index $PANGEO_HPC_INDEX"; exit 4'),
        cores=1,
        walltime=timedelta(minutes=1),
        exit_file=folder / "{index}" / "exit",
        array=5,
    )
    done = subprocess.run(
        ["/bin/bash", "-c", render((), request)],
        env={"PATH": "/usr/bin:/bin", variable: "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (4, "index 3\n"), done.stderr
    assert (folder / "3" / "exit").read_text() == "4\n"
