"""All users' jobs of a kind of name: exact, and not to be forged by whoever names a job."""

import json

from pangeo_hpc.run import Recorder, Result, converse
from pangeo_hpc.schedulers.base import JobState, SchedulerOptions
from pangeo_hpc.schedulers.local import Local
from pangeo_hpc.schedulers.pbs import PBS
from pangeo_hpc.schedulers.slurm import Slurm

NAME = "jupyter-abcdefgh"


def row(job_id: str, user: str, word: str, name: str) -> str:
    """Return what squeue prints: it cuts each value at its width."""
    cells = ((job_id, 64), (user, 64), (word, 32), (name, 17))
    return "".join(f"{value[:width]:<{width}}|" for value, width in cells) + "\n"


def named(text: str):
    runner = Recorder([Result(("squeue",), 0, text)])
    found = converse(Slurm(SchedulerOptions()).named("jupyter-", 16), runner)
    assert len(runner.commands) == 1, "one question for all users"
    return found


def test_slurm():
    """Id, user, name and state of each server's job that has not ended, whoever it belongs to."""
    found = named(
        row("12", "alice", "RUNNING", NAME)
        + row("13", "bob", "PENDING", "jupyter-bcdefghj")
        + row("14", "bob", "COMPLETED", "jupyter-cdefghjk")
        + row("15", "bob", "RUNNING", "jupyter-abcdefgh-and-more")
        + row("16", "bob", "RUNNING", "jupyter-abc")
        + row("17", "bob", "RUNNING", "ndvi-x7k2")
        + row("18_1", "bob", "RUNNING", NAME)
    )
    assert {(j.id, j.user, j.name, j.state) for j in found.values()} == {
        ("12", "alice", NAME, JobState.RUNNING),
        ("13", "bob", "jupyter-bcdefghj", JobState.PENDING),
    }


def test_a_name_writes_no_rows_about_others():
    """A line break in a name makes no row of somebody else's job, however the rest is chosen."""
    for name in (
        f"x\n{'99':<64}|{'alice':<64}|{'RUNNING':<32}|{NAME}",
        f"\n99|alice|RUNNING|{NAME} |",
        "jupyter-\n99|alice|",
        f"{NAME}\n",
    ):
        assert named(row("12", "mallory", "RUNNING", name)) in ({}, named_by("mallory")), name


def named_by(user: str):
    return named(row("12", user, "RUNNING", NAME))


def test_the_width_leaves_no_room():
    """One letter more than the name is asked for: less than the shortest row there could be."""
    runner = Recorder([Result(("squeue",), 0, "")])
    converse(Slurm(SchedulerOptions()).named("jupyter-", 16), runner)
    assert runner.commands[0].argv[-1].endswith(",Name:17|")
    assert "-j" not in runner.commands[0].argv


def test_pbs():
    """All ids first, then what is known of each; the name must fit whole."""
    jobs = {
        "1.s": {"Job_Name": NAME, "Job_Owner": "alice@h", "job_state": "R", "substate": 42},
        "2.s": {"Job_Name": "jupyter-abc", "Job_Owner": "bob@h", "job_state": "Q"},
        "3.s": {"Job_Name": f"{NAME}x", "Job_Owner": "bob@h", "job_state": "Q"},
    }
    text = json.dumps({"pbs_version": "23.06.06", "Jobs": jobs})
    runner = Recorder([Result((), 0, "1.s\n2.s\n4[].s\n3.s\n"), Result((), 0, text)])
    (found,) = converse(PBS(SchedulerOptions()).named("jupyter-", 16), runner).values()
    assert (found.id, found.user, found.name) == ("1.s", "alice", NAME)
    assert [command.argv[0] for command in runner.commands] == ["qselect", "qstat"]
    assert "4[].s" not in runner.commands[1].argv


def test_pbs_without_jobs():
    """An empty queue is one question."""
    runner = Recorder([Result((), 0, "")])
    assert converse(PBS(SchedulerOptions()).named("jupyter-", 16), runner) == {}


def test_the_local_queue():
    """Its jobs are the user's own; ended ones are left out."""
    entries = [
        {"id": "1", "name": NAME, "state": "RUNNING", "user": "alice"},
        {"id": "2", "name": NAME, "state": "COMPLETED", "user": "alice"},
        {"id": "3", "name": "other", "state": "RUNNING", "user": "alice"},
    ]
    runner = Recorder([Result((), 0, json.dumps({"format": 1, "jobs": entries}))])
    assert list(converse(Local(SchedulerOptions()).named("jupyter-", 16), runner)) == ["1"]
