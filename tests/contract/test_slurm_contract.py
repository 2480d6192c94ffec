"""Slurm keeps the contract of a scheduler, over what a real Slurm 22.05.8 said."""

from dataclasses import replace
from typing import ClassVar

from pangeo_hpc.run import Result
from pangeo_hpc.schedulers.base import AllocationFacts, JobState, Scheduler, SchedulerOptions
from pangeo_hpc.schedulers.slurm import Slurm
from pangeo_hpc.testing import Recorded, SchedulerContract, Situation
from pangeo_hpc.units import MIB
from tests.recordings.slurm_steps import asked, ids, noted, steps


def told(case: str, states: dict[str, JobState], *answers: Result) -> Recorded:
    """Return a recording about jobs by their labels; those without a state must be absent."""
    known = ids(case)
    return Recorded(
        answers=answers,
        ids=list(known.values()),
        states={known[label]: state for label, state in states.items()},
    )


def cut(result: Result, share: float) -> Result:
    return replace(result, stdout=result.stdout[: int(len(result.stdout) * share)])


def refused(case: str, label: str, words: str) -> Recorded:
    return Recorded(answers=[noted(case, label)], says=words)


def settings(
    case: str, label: str, *, private: bool, sees_all: bool, history: bool | None
) -> Recorded:
    answers = [step.result for step in steps(case) if step.note == label]
    return Recorded(answers=answers, settings=(private, sees_all, history))


QUEUE = asked("20", "squeue")
WAITING = {
    "held": JobState.HELD,
    "held-by-admin": JobState.HELD,
    "dependency": JobState.PENDING,
    "never": JobState.PENDING,
    "begin": JobState.PENDING,
    "requeued": JobState.PENDING,
    "requeue-hold": JobState.HELD,
    "too-long": JobState.PENDING,
    "down": JobState.PENDING,
    "big": JobState.PENDING,
}
JOBS = {
    **WAITING,
    "running": JobState.RUNNING,
    "suspended": JobState.SUSPENDED,
    "fails": JobState.FAILED,
}
NAMED = asked("60", "sbatch")
RUNNING = ids("20")["running"]
ARRAY = ids("22")["array"]
ELEMENTS = {
    f"{ARRAY}_{index}": JobState.RUNNING if index < 6 else JobState.PENDING
    for index in range(2, 12)
} | {f"{ARRAY}_0": JobState.COMPLETED, f"{ARRAY}_1": JobState.FAILED}
CANCELLED = {f"{ARRAY}_{index}": JobState.CANCELLED for index in (2, 3, 4, 5, 6, 7, 8, 10, 11)}
ENDINGS = {
    "done": JobState.COMPLETED,
    "memory-used": JobState.COMPLETED,
    "exit-3": JobState.FAILED,
    "exit-137": JobState.FAILED,
    "killed": JobState.FAILED,
    "child-killed": JobState.FAILED,
    "memory": JobState.OUT_OF_MEMORY,
    "memory-in-child": JobState.OUT_OF_MEMORY,
    "memory-in-step": JobState.OUT_OF_MEMORY,
    "step-failed": JobState.COMPLETED,
    "walltime": JobState.RUNNING,
    "walltime-caught": JobState.RUNNING,
    "cancelled": JobState.CANCELLED,
    "cancelled-by-admin": JobState.CANCELLED,
    "cancelled-pending": JobState.CANCELLED,
    "deadline": JobState.CANCELLED,
    "no-folder": JobState.FAILED,
}


def one(case: str, label: str, state: JobState, *answers: Result) -> Recorded:
    job_id = ids(case)[label]
    return Recorded(answers=answers, ids=[job_id], states={job_id: state})


class TestSlurmContract(SchedulerContract):
    recordings: ClassVar = {
        Situation.NORMAL: [
            told("20", JOBS, QUEUE),
            # one unknown among several is no error
            Recorded(
                answers=[asked("21", "squeue", 2)],
                ids=["99999", ids("21")["running"]],
                states={ids("21")["running"]: JobState.RUNNING},
            ),
        ],
        Situation.EMPTY: [
            # alone it is one, with exit status 1
            Recorded(answers=[asked("21", "squeue", 0)], ids=["99999"]),
            Recorded(answers=[asked("21", "squeue", 1)], ids=["99998", "99999"]),
            Recorded(answers=[asked("21", "squeue", 3)], ids=[f"{ids('21')['running']}_7"]),
        ],
        Situation.ARRAY: [
            Recorded(answers=[asked("22", "squeue", 0)], ids=[ARRAY], states=ELEMENTS),
            Recorded(
                answers=[asked("22", "squeue", 1)],
                ids=[f"{ARRAY}_9"],
                states={f"{ARRAY}_9": JobState.PENDING},
            ),
        ],
        Situation.TRUNCATED: [
            told("20", JOBS, cut(QUEUE, share / 20)) for share in (1, 3, 5, 9, 13, 19)
        ],
        Situation.UNKNOWN_WORD: Recorded(
            answers=[replace(QUEUE, stdout=QUEUE.stdout.replace("RUNNING  ", "DREAMING "))],
            ids=[RUNNING],
            states={RUNNING: JobState.UNKNOWN},
        ),
        Situation.NOT_OUR_ID: Recorded(
            answers=[], ids=["131.server", "12[3]", "12+1", "abc", "1-2", "12_", "١٢"]
        ),
        Situation.UNREACHABLE: [
            one("70", "running", JobState.LOST, asked("70", "squeue")),
            one("71", "running", JobState.LOST, asked("71", "squeue")),
            replace(
                one("70", "running", JobState.LOST, asked("60", "elsewhere")),
                says="No cluster 'elsewhere' known by database",
            ),
            replace(
                one("71", "running", JobState.LOST, asked("71", "squeue")),
                says="Socket timed out on send/recv operation",
            ),
        ],
        Situation.BANNER: [
            Recorded(answers=[noted("20", "running")], id=RUNNING),
            Recorded(answers=[NAMED], id=NAMED.stdout.removesuffix(";pangeo\n")),
            Recorded(
                answers=[
                    Result(("sbatch",), 0, "Welcome\nquota: 12 of 20\n12 jobs queued\n77;alpha\n")
                ],
                id="77",
            ),
            Recorded(
                answers=[Result(("sbatch",), 0, "Welcome\nSubmitted batch job 78 on cluster a\n")],
                id="78",
            ),
            # sbatch hangs, or is ended, after it has answered
            Recorded(answers=[Result(("sbatch",), None, "79\n")], id="79"),
            Recorded(answers=[Result(("sbatch",), -9, "79\n")], id="79"),
        ],
        Situation.REFUSED: [
            refused("40", "queue", "Invalid partition name specified"),
            refused("40", "account", "Invalid account or account/partition combination specified"),
            refused("40", "qos", "Invalid qos specification"),
            refused("40", "memory", "Memory specification can not be satisfied"),
            refused("40", "feature", "Invalid feature specification"),
            refused("40", "gpus", "Requested node configuration is not available"),
            refused("40", "gpu-type", "Requested node configuration is not available"),
            refused("40", "array", "Invalid job array specification"),
            refused("40", "dependency", "Job dependency problem"),
            refused("40", "reservation", "Requested reservation is invalid"),
            refused("40", "license", "Invalid license specification"),
            refused("40", "host", "Invalid node name specified"),
            refused("40", "option", "unrecognized option '--nothing'"),
            refused("40", "value", "Invalid --time specification"),
            refused("40", "word", "Invalid directive found in batch script: word"),
            refused("40", "tiny-2", "QOSMaxSubmitJobPerUserLimit"),
            refused("40", "no-script", "Unable to open file /nowhere/job.sh"),
            refused("40", "drained", "Required partition not available (inactive or drain)"),
            refused("41", "walltime", "Requested time limit is invalid"),
            refused("41", "cores", "More processors requested than permitted"),
            refused("41", "nodes", "Node count specification invalid"),
        ],
        Situation.UNCLEAR: [
            Recorded(answers=[noted("70", "lost")]),
            # this job did run in the end
            Recorded(answers=[noted("71", "unclear")]),
            Recorded(answers=[Result(("sbatch",), -15)]),
            Recorded(answers=[Result(("sbatch",), 0)]),
            # the end of the line is missing, and perhaps digits before it
            Recorded(answers=[Result(("sbatch",), None, "79")]),
            Recorded(answers=[Result(("sbatch",), 0, "79")]),
        ],
        Situation.CANCEL_ENDED: [
            Recorded(answers=[asked("21", "scancel 99999")], ids=["99999"]),
            Recorded(answers=[asked("21", "scancel 99999 ")], ids=["99999", ids("21")["running"]]),
            Recorded(
                answers=[
                    Result(
                        ("scancel",),
                        1,
                        stderr="scancel: error: Kill job error on job id 12: "
                        "Job/step already completing or completed\n",
                    )
                ],
                ids=["12"],
            ),
        ],
        Situation.HISTORY: [
            told("30", ENDINGS, asked("30", "sacct"), asked("30", "squeue", 1)),
            told(
                "31",
                {
                    "lost": JobState.NODE_FAIL,
                    "moved": JobState.PENDING,
                    "twice": JobState.FAILED,
                },
                asked("31", "sacct", -1),
                asked("31", "squeue", -1),
            ),
            one("32", "victim", JobState.PREEMPTED, asked("32", "sacct")),
            Recorded(
                answers=[asked("22", "sacct", 2)],
                ids=[ARRAY],
                states={
                    f"{ARRAY}_0": JobState.COMPLETED,
                    f"{ARRAY}_1": JobState.FAILED,
                    **CANCELLED,
                },
            ),
            # cancelled by itself before it began, it is in no record of its array
            Recorded(
                answers=[asked("22", "sacct", 2), Result(("squeue",), 0)],
                ids=[f"{ARRAY}_9"],
                states={f"{ARRAY}_9": JobState.CANCELLED},
            ),
            Recorded(
                answers=[asked("21", "sacct"), asked("21", "squeue", 4)],
                ids=["99999"],
            ),
        ],
        Situation.HISTORY_OFF: [
            Recorded(
                answers=[asked("90", "sacct"), asked("90", "squeue", 1)],
                ids=[*ids("90").values()],
                states={
                    ids("90")["exit-3"]: JobState.FAILED,
                    ids("90")["exit-137"]: JobState.FAILED,
                    ids("90")["killed"]: JobState.FAILED,
                    ids("90")["memory"]: JobState.OUT_OF_MEMORY,
                    ids("90")["done"]: JobState.COMPLETED,
                    ids("90")["running"]: JobState.RUNNING,
                    ids("90")["cancelled"]: JobState.CANCELLED,
                    f"{ids('90')['array']}_0": JobState.COMPLETED,
                    f"{ids('90')['array']}_1": JobState.FAILED,
                    f"{ids('90')['array']}_2": JobState.FAILED,
                },
            ),
            Recorded(answers=[asked("90", "sacct", 1), asked("90", "squeue", 2)], ids=["99999"]),
        ],
        Situation.SETTINGS: [
            settings("73", "open", private=False, sees_all=True, history=True),
            settings("73", "private", private=True, sees_all=False, history=True),
            settings("73", "operator", private=True, sees_all=True, history=True),
            settings("73", "slurmdbd is away", private=False, sees_all=True, history=None),
            settings("91", "without", private=False, sees_all=True, history=False),
        ],
    }
    inside = (
        dict(line.split("=", 1) for line in asked("80", "cat array-0").stdout.splitlines()),
        AllocationFacts(
            job_id=f"{ids('80')['array']}_0",
            nodes=(asked("80", "cat array-0").stdout.splitlines()[0].partition("=")[2],),
            cores=1,
            memory=200 * MIB,
            array_index=0,
        ),
    )

    def make(self, options: SchedulerOptions) -> Scheduler:
        return Slurm(options)


class TestNamedClusterContract(TestSlurmContract):
    """The same where the site names one of several clusters."""

    def make(self, options: SchedulerOptions) -> Scheduler:
        return Slurm(replace(options, cluster="alpha"))
