"""How many jobs come before one that waits."""

from collections.abc import Mapping

from pangeo_hpc.run import Command, Recorder, Result, converse
from pangeo_hpc.schedulers.base import JobState, JobStatus, SchedulerOptions
from pangeo_hpc.schedulers.local import Local
from pangeo_hpc.schedulers.pbs import PBS
from pangeo_hpc.schedulers.slurm import Slurm
from pangeo_hpc.schedulers.slurm_order import WIDTHS


def waits(job_id: str, queue: str) -> JobStatus:
    return JobStatus(id=job_id, state=JobState.PENDING, queue=queue)


def row(name: str, queue: str, priority: int, reason: str = "Priority") -> str:
    values: Mapping[str, object] = dict(zip(WIDTHS, (name, queue, priority, reason), strict=True))
    return "".join(f"{values[key]!s:<{width}}|" for key, width in WIDTHS.items()) + "\n"


QUEUE = "".join(
    [
        row("10", "compute", 500, "Resources"),
        row("11_[3-5%2]", "compute", 400),
        row("12", "short,compute", 300),
        row("13", "short", 900),
        row("14", "compute", 0, "JobHeldUser"),
        row("15", "compute", 950, "Dependency"),
        row("16", "compute", 960, "BeginTime"),
        row("20", "compute", 300),
        row("21", "compute", 300),
        row("22", "compute", 900, "DependencyNeverSatisfied"),
    ]
)


def test_slurm_counts_higher_priorities_and_older_jobs() -> None:
    """An array counts by its elements, a job in two queues in both, a held one in none."""
    asked = [waits(each, "compute") for each in ("10", "20", "21", "22", "99")]
    runner = Recorder([Result((), 0, QUEUE)])
    known = converse(Slurm(SchedulerOptions()).ahead([*asked, waits("13", "short")]), runner)
    assert known == {"10": 0, "20": 5, "21": 6, "13": 0}
    (command,) = runner.commands
    assert "--partition=compute,short" in command.argv


def test_pbs_counts_what_was_submitted_before() -> None:
    """One call for each queue; a job that is not in the answer is not told of."""
    answers = [
        Result((), 0, "3.pbs\n5[].pbs\n17.pbs\n140.pbs\n"),
        Result((), 0, ""),
    ]
    runner = Recorder(answers)
    asked = [waits("17.pbs", "main"), waits("140.pbs", "main"), waits("9.pbs", "small")]
    assert converse(PBS(SchedulerOptions()).ahead(asked), runner) == {"17.pbs": 2, "140.pbs": 3}
    assert [command.argv[-2:] for command in runner.commands] == [("-q", "main"), ("-q", "small")]


def test_the_local_queue_tells_nothing() -> None:
    """All its jobs are of one user, who knows them."""

    def nobody(command: Command) -> Result:
        raise AssertionError(command)

    assert converse(Local(SchedulerOptions()).ahead([waits("1", "local")]), nobody) == {}
