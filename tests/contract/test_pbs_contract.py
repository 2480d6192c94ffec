"""PBS keeps the contract of a scheduler, over what a real OpenPBS 23.06.06 said."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import ClassVar

from pangeo_hpc.run import Command, Result, run
from pangeo_hpc.schedulers.base import AllocationFacts, JobState, Scheduler, SchedulerOptions
from pangeo_hpc.schedulers.pbs import PBS
from pangeo_hpc.testing import Recorded, SchedulerContract, Situation, read_transcript

RECORDINGS = Path(__file__).parents[1] / "recordings" / "pbs"


@cache
def said(case: str, number: int) -> Result:
    """Return what was recorded as a numbered step of a case."""
    path = next(RECORDINGS.glob(f"{case}-*.txt"))
    return next(step.result for step in read_transcript(path) if step.number == number)


def cut(result: Result) -> Result:
    return replace(result, stdout=result.stdout[: len(result.stdout) * 2 // 3])


def one(case: str, number: int, job_id: str, state: JobState) -> Recorded:
    return Recorded(answers=[said(case, number)], ids=[job_id], states={job_id: state})


def refused(number: int, words: str) -> Recorded:
    return Recorded(answers=[said("40", number)], says=words)


def server(
    attribute: str, value: str | None, *, settings: tuple[bool | None, bool | None, bool | None]
) -> Recorded:
    """Return what a server says whose administrator set, or never set, one attribute."""
    text, told = said("02", 3).stdout, f'"{attribute}":\t"True"'
    assert told in text
    changed = f'"{attribute}":\t"{value}"' if value else '"never":\t"set"'
    return Recorded(
        answers=[replace(said("02", 3), stdout=text.replace(told, changed))], settings=settings
    )


class TestPBSContract(SchedulerContract):
    recordings: ClassVar = {
        Situation.NORMAL: [
            one("10", 3, "0.pbs-login", JobState.RUNNING),
            one("20", 15, "5.pbs-login", JobState.PENDING),
            one("20", 18, "8.pbs-login", JobState.HELD),
            one("20", 19, "9.pbs-login", JobState.PENDING),
            one("31", 29, "34.pbs-login", JobState.STARTING),
            one("31", 32, "34.pbs-login", JobState.SUSPENDED),
            one("31", 4, "28.pbs-login", JobState.ENDING),
            # the bare number is enough, and answers under what was asked
            one("10", 3, "0", JobState.RUNNING),
            # builds since 2025 answer only the first of several ids in JSON, but all in text
            Recorded(
                answers=[said("20", 14), said("20", 21)],
                ids=["2.pbs-login", "5.pbs-login"],
                states={"2.pbs-login": JobState.RUNNING, "5.pbs-login": JobState.PENDING},
            ),
            # one good and one unknown: the exit status is 153
            Recorded(
                answers=[said("11", 24)],
                ids=["1.pbs-login", "999999"],
                states={"1.pbs-login": JobState.STARTING},
            ),
        ],
        Situation.EMPTY: [
            Recorded(answers=[said("11", 13)], ids=["999999", "999998"]),
            Recorded(answers=[said("10", 26)], ids=["0.pbs-login"]),
            # somebody else's job with query_other_jobs = False: nothing at all, exit 0
            Recorded(answers=[said("63", 4), said("63", 5)], ids=["170.pbs-login"]),
        ],
        Situation.ARRAY: Recorded(
            answers=[said("50", 11)],
            ids=["129[].pbs-login"],
            states={
                f"129[{index}].pbs-login": JobState.RUNNING if index < 5 else JobState.PENDING
                for index in range(1, 11)
            },
        ),
        Situation.TRUNCATED: [
            Recorded(answers=[cut(said("10", 3)), cut(said("10", 5))], ids=["0.pbs-login"]),
            Recorded(
                answers=[cut(said("10", 3)), said("10", 5)],
                ids=["0.pbs-login"],
                states={"0.pbs-login": JobState.RUNNING},
            ),
        ],
        Situation.UNKNOWN_WORD: Recorded(
            answers=[
                replace(
                    said("10", 3), stdout=said("10", 3).stdout.replace('state":\t"R"', 'state":"Y"')
                )
            ],
            ids=["0.pbs-login"],
            states={"0.pbs-login": JobState.UNKNOWN},
        ),
        Situation.NOT_OUR_ID: [
            Recorded(answers=[said("11", 14)], ids=["999999.otherserver"]),
            Recorded(answers=[], ids=["12_3", "abc", "12a", "1-2", "131[1-2]"]),
        ],
        Situation.UNREACHABLE: [
            Recorded(answers=[said("70", 5)], ids=["246.pbs-login"], says="Connection refused"),
            Recorded(answers=[said("70", 18)], ids=["246.pbs-login"], says="`server`"),
            Recorded(answers=[said("70", 20)], ids=["246.pbs-login"], says="PBS_CONF_FILE"),
        ],
        Situation.BANNER: [
            Recorded(answers=[said("10", 1)], id="0.pbs-login"),
            Recorded(answers=[said("50", 1)], id="129[].pbs-login"),
            Recorded(
                answers=[
                    Result(("qsub",), 0, "Quota of alice: 12.5 of 20\n1234\n77.pbs-login\nbye\n")
                ],
                id="77.pbs-login",
            ),
            # -W block=true in a site's directives: qsub ends with the job's own status
            Recorded(answers=[said("80", 12)], id="179.pbs-login"),
        ],
        Situation.REFUSED: [
            refused(1, "Unknown queue"),
            refused(3, "Queue is not enabled"),
            refused(4, "Job violates queue and/or server resource limits"),
            refused(13, "Unknown resource: nosuchres"),
            refused(22, 'cannot be used with "select"'),
            refused(26, "Illegal attribute or resource value Resource_List.walltime"),
            refused(48, "Invalid account BAD1: no such project"),
            refused(59, "Array job exceeds server or queue size limit"),
            refused(68, "Bad UID for job execution"),
            refused(73, "Unauthorized Request"),
            refused(74, "User bob is not a member of project OCEAN002"),
            refused(62, "invalid option -- 'Z'"),
            Recorded(
                answers=[Result(("qsub",), 38, "", said("41", 9).stderr.splitlines()[0])],
                says="would exceed queue generic's per-user limit",
            ),
        ],
        Situation.UNCLEAR: [
            Recorded(answers=[said("70", 9)]),
            Recorded(answers=[said("70", 23)]),
            # -z: accepted, and no id printed
            Recorded(answers=[said("80", 19)]),
            Recorded(answers=[Result(("qsub",), -15)]),
        ],
        Situation.CANCEL_ENDED: [
            Recorded(answers=[said("10", 37)], ids=["0.pbs-login"]),
            Recorded(answers=[said("11", 15)], ids=["999999"]),
            Recorded(answers=[said("11", 26)], ids=["1.pbs-login", "999999"]),
        ],
        Situation.HISTORY: [
            one("30", 2, "11.pbs-login", JobState.COMPLETED),
            one("30", 6, "12.pbs-login", JobState.FAILED),
            one("30", 34, "19.pbs-login", JobState.TIMEOUT),
            one("30", 42, "21.pbs-login", JobState.OUT_OF_MEMORY),
            one("31", 5, "28.pbs-login", JobState.CANCELLED),
            one("42", 3, "116.pbs-login", JobState.CANCELLED),
            one("75", 2, "254.pbs-login", JobState.FAILED),
        ],
        Situation.HISTORY_OFF: [
            Recorded(answers=[said("65", 4)], ids=["171.pbs-login"]),
            Recorded(answers=[said("98", 6)], ids=["790.pbs-login"]),
            Recorded(answers=[said("11", 5)], ids=["999999"]),
        ],
        Situation.SETTINGS: [
            Recorded(answers=[said("02", 3)], settings=(False, True, True)),
            server("query_other_jobs", "False", settings=(True, False, True)),
            server("job_history_enable", "False", settings=(False, True, False)),
            # a server tells only what was set once; history is off unless it was turned on
            server("query_other_jobs", None, settings=(None, False, True)),
            server("job_history_enable", None, settings=(False, True, False)),
        ],
    }
    inside = (
        {"PBS_JOBID": "129[3].pbs-login", "NCPUS": "2", "PBS_ARRAY_INDEX": "3"},
        AllocationFacts(job_id="129[3].pbs-login", nodes=(), cores=2, array_index=3),
    )

    def make(self, options: SchedulerOptions) -> Scheduler:
        return PBS(options)


class TestPBSTotalsContract(TestPBSContract):
    """The same where a site takes sums instead of chunks."""

    def make(self, options: SchedulerOptions) -> Scheduler:
        return PBS(replace(options, request="totals", account_option="-P"))


def test_a_step_runs_once_on_every_node(tmp_path):
    """The step starts the command on each host at once, and ends with a failure of any of them."""
    tmrsh = tmp_path / "pbs_tmrsh"
    tmrsh.write_text('#!/bin/sh\nhost=$1; shift\n[ "$host" = bad ] && exit 3\necho "$host" "$@"\n')
    tmrsh.chmod(0o755)
    pbs = PBS(SchedulerOptions(bin=tmp_path))

    def step(*nodes: str) -> Result:
        facts = AllocationFacts(job_id="1", nodes=nodes)
        command = ("/usr/bin/printf", "it's $HOME", "a  b")
        return run(Command(pbs.step(command, facts, cores=1, memory=None)))

    done = step("cpu01", "cpu02.site.org")
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == [
        "cpu01 /usr/bin/printf it's $HOME a  b",
        "cpu02.site.org /usr/bin/printf it's $HOME a  b",
    ]
    assert step("cpu01", "bad", "cpu02").returncode == 3
