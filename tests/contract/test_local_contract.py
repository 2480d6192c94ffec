"""The local queue keeps to what every scheduler must keep to, over what its program printed."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from pangeo_hpc.run import Result
from pangeo_hpc.schedulers.base import AllocationFacts, JobState, Scheduler, SchedulerOptions
from pangeo_hpc.schedulers.local import Local
from pangeo_hpc.testing import Recorded, SchedulerContract, Situation

# Printed by `python -m pangeo_hpc.localqueue status` on the machine of a test.
_JOBS = json.loads((Path(__file__).parents[1] / "recordings/local/status.json").read_text())["jobs"]
_BY_ID: Mapping[str, Mapping[str, Any]] = {job["id"]: job for job in _JOBS}


def told(*jobs: Mapping[str, Any]) -> Result:
    return Result(("python",), 0, json.dumps({"format": 1, "jobs": jobs}, indent=2) + "\n")


def failed(code: int | None, words: str) -> Result:
    return Result(("python",), code, "", words)


_STATES = {
    "1": JobState.RUNNING,
    "2": JobState.COMPLETED,
    "3": JobState.FAILED,
    "4": JobState.TIMEOUT,
    "5": JobState.OUT_OF_MEMORY,
    "6": JobState.CANCELLED,
    "7": JobState.LOST,
    "8": JobState.PENDING,
}
_ARRAY = {"9_0": JobState.COMPLETED, "9_1": JobState.FAILED}
_BUSY = "the queue in /home/alice/q is busy: its lock was not free in 20 s"
_NO = "asks for 37 cores, this machine has 2\nhint: ask for less, or use another machine\n"
_BANNER = "Welcome to the machine\n1 message waits\n17\n"


class TestLocalContract(SchedulerContract):
    """The contract, over the local queue."""

    in_bin = False
    unsupported: ClassVar[Mapping[Situation, str]] = {
        Situation.HISTORY_OFF: "the queue always remembers ended jobs for a while"
    }
    recordings: ClassVar[Mapping[Situation, Recorded]] = {
        Situation.NORMAL: Recorded(
            answers=[told(*(_BY_ID[i] for i in _STATES))], ids=list(_STATES), states=_STATES
        ),
        Situation.EMPTY: Recorded(answers=[told()], ids=["99"]),
        Situation.ARRAY: Recorded(
            answers=[told(*(_BY_ID[i] for i in _ARRAY))], ids=["9"], states=_ARRAY
        ),
        Situation.TRUNCATED: Recorded(
            answers=[Result(("python",), 0, told(_BY_ID["1"]).stdout[:-40])],
            ids=["1"],
            states={"1": JobState.RUNNING},
        ),
        Situation.UNKNOWN_WORD: Recorded(
            answers=[told({**_BY_ID["1"], "state": "DREAMING"})],
            ids=["1"],
            states={"1": JobState.UNKNOWN},
        ),
        Situation.NOT_OUR_ID: Recorded(answers=[], ids=["12.server", "3[1]", "-1"]),
        Situation.UNREACHABLE: Recorded(answers=[failed(75, _BUSY)], ids=["1"], says=_BUSY),
        Situation.BANNER: Recorded(answers=[Result(("python",), 0, _BANNER)], id="17"),
        Situation.REFUSED: Recorded(answers=[failed(4, _NO)], says="this machine has 2"),
        Situation.UNCLEAR: Recorded(answers=[failed(75, _BUSY)]),
        Situation.CANCEL_ENDED: Recorded(
            answers=[Result(("python",), 0, '{"format": 1, "cancelled": []}\n')], ids=["2"]
        ),
        Situation.HISTORY: Recorded(
            answers=[told(_BY_ID["1"], _BY_ID["3"])], ids=["1", "3"], states={"3": JobState.FAILED}
        ),
        Situation.SETTINGS: Recorded(answers=[], settings=(False, True, True)),
    }
    inside: ClassVar[tuple[Mapping[str, str], AllocationFacts] | None] = (
        {
            "PANGEO_LOCALQUEUE_JOB": "9_1",
            "PANGEO_LOCALQUEUE_NODE": "laptop",
            "PANGEO_LOCALQUEUE_CORES": "2",
            "PANGEO_LOCALQUEUE_MEMORY": "1073741824",
            "PANGEO_LOCALQUEUE_STARTED": "1700000000",
            "PANGEO_LOCALQUEUE_ENDS": "1700003600",
            "PANGEO_LOCALQUEUE_RESTARTS": "1",
            "PANGEO_LOCALQUEUE_INDEX": "1",
        },
        AllocationFacts(
            job_id="9_1",
            nodes=("laptop",),
            cores=2,
            memory=2**30,
            started=datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
            ends=datetime(2023, 11, 14, 23, 13, 20, tzinfo=UTC),
            restarts=1,
            array_index=1,
        ),
    )

    def make(self, options: SchedulerOptions) -> Scheduler:
        """Return the scheduler under test."""
        return Local(options)
