"""One poller per scheduler, and whom it asks."""

import asyncio
import logging
from collections.abc import Collection

import pytest

from pangeo_hpc.errors import SchedulerUnreachable
from pangeo_hpc.hub.desk import Desk
from pangeo_hpc.hub.office import Office
from pangeo_hpc.hub.status import figures
from pangeo_hpc.jobs.record import keep
from pangeo_hpc.run import Result
from pangeo_hpc.schedulers.base import JobState, JobStatus
from pangeo_hpc.site import load_site
from tests.unit.hub.conftest import Forever, Program, write_site

TWO = "schedulers:\n  slurm: {type: slurm}\n  casper: {type: pbs, server: casper-pbs}\n"


class Users:
    """A desk whose users tell what they are told to, or fail."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[str, ...], str]] = []
        self.states: dict[tuple[str, str], JobState] = {}
        self.broken: set[str] = set()
        self.abreast = self.most = 0

    async def status(self, user: str, jobs: Collection[str], *, scheduler: str = ""):
        self.asked.append((user, tuple(jobs), scheduler))
        self.abreast += 1
        self.most = max(self.most, self.abreast)
        await asyncio.sleep(0)
        self.abreast -= 1
        if user in self.broken:
            raise SchedulerUnreachable("the home is full")
        return {
            job: JobStatus(id=job, state=self.states[user, job])
            for job in jobs
            if (user, job) in self.states
        }


def look(made: Office, *followed: tuple[str, str, str], times: int = 1):
    """Follow jobs and look once; return what was heard of each."""

    async def go():
        for key, job, user in followed:
            made.poller(key)._task = Forever()
            made.follow(key, job, user, starting=False)
        for _ in range(times):
            for key in dict.fromkeys(key for key, *_ in followed):
                await made.poller(key).look()
        found = [made.poller(key).news(job) for key, job, _ in followed]
        return [news.status.state if news else None for news in found]

    return asyncio.run(go())


def test_one_poller_per_scheduler(tmp_path):
    """Slurm, PBS and the local queue of the hub's host are asked apart, each in its own words."""
    site = load_site(write_site(tmp_path, extra=TWO))
    program = Program(Result((), 1, "", "x"), Result((), 1, "", "x"))
    made = Office(site, Desk(("x",)), runner=program)
    assert set(made.pollers) == {"slurm", "casper", "local"}
    assert look(made, ("slurm", "1", "alice"), ("casper", "2.casper-pbs", "bob")) == [None, None]
    argv = {command.argv[0]: command for command in program.commands}
    assert set(argv) == {"squeue", "qstat"}
    assert "1" in argv["squeue"].argv
    assert argv["qstat"].environment["PBS_SERVER"] == "casper-pbs"
    assert {key for key, each in figures(made).items() if each["questions"]} == {"slurm", "casper"}


def test_no_sudo_while_the_queue_tells_all(site):
    """Only squeue is called for running jobs, as the hub's own account."""
    row = slurm_row("12", "RUNNING")
    program = Program(Result((), 0, row))
    made = Office(site, Desk(("x",)), runner=program)
    assert look(made, ("slurm", "12", "alice")) == [JobState.RUNNING]
    (command,) = program.commands
    assert command.argv[0] == "squeue"


def slurm_row(job_id: str, word: str) -> str:
    from pangeo_hpc.schedulers.slurm_parse import QUEUE_WIDTHS

    values = {"JobArrayID": job_id, "State": word, "NodeList": "c1"}
    cells = (f"{values.get(name, ''):<{width}}|" for name, width in QUEUE_WIDTHS.items())
    return "".join(cells) + "\n"


def test_the_local_queue_is_asked_as_its_users(site):
    """Each user's program tells of their own jobs, though both have the number 1."""
    users = Users()
    users.states = {("alice", "1.1001"): JobState.RUNNING, ("bob", "1.1002"): JobState.TIMEOUT}
    made = Office(site, users)
    heard = look(made, ("local", "1.1001", "alice"), ("local", "1.1002", "bob"))
    assert heard == [JobState.RUNNING, JobState.TIMEOUT]
    assert sorted(users.asked) == [
        ("alice", ("1.1001",), "local"), ("bob", ("1.1002",), "local"),
    ]  # fmt: skip


def test_one_users_trouble_is_not_the_others(site, caplog):
    """A user whose program fails has no news; everybody else has."""
    users = Users()
    users.broken = {"alice"}
    users.states = {("bob", "1.1002"): JobState.RUNNING}
    made = Office(site, users)
    with caplog.at_level(logging.WARNING):
        heard = look(made, ("local", "1.1001", "alice"), ("local", "1.1002", "bob"), times=3)
    assert heard == [None, JobState.RUNNING]
    assert "the home is full" in caplog.text
    assert made.poller("local").figures.failures == 0


def test_users_are_asked_some_at_a_time(site):
    """Fifty users are not fifty programs at once."""
    users = Users()
    made = Office(site, users)
    look(made, *(("local", f"1.{number}", f"user{number}") for number in range(50)))
    assert len(users.asked) == 50
    assert 1 < users.most <= 4


def test_a_scheduler_that_the_site_no_longer_has(site):
    """A server that was started there is followed without news, and is not taken as gone."""
    users = Users()
    made = Office(site, users)
    assert look(made, ("old-cluster", "12", "alice"), times=3) == [None]
    assert "no scheduler 'old-cluster'" in made.poller("old-cluster").figures.last_failure


def test_private_job_data(site):
    """A job that neither queue nor history show is asked for as its user before it is gone."""
    users = Users()
    users.states = {("alice", "12"): JobState.RUNNING}
    unknown = Result((), 1, "", "slurm_load_jobs error: Invalid job id specified\n")
    program = Program(unknown, Result((), 0, ""), unknown)
    made = Office(site, users, runner=program)
    assert look(made, ("slurm", "12", "alice")) == [JobState.RUNNING]
    assert [command.argv[0] for command in program.commands] == ["squeue", "sacct", "squeue"]


def test_the_same_number_on_two_schedulers(tmp_path):
    """Who follows job 12 of one cluster is not asked about job 12 of another."""
    text = "schedulers:\n  slurm: {type: slurm}\n  other: {type: slurm, cluster: beta}\n"
    users = Users()
    made = Office(load_site(write_site(tmp_path, extra=text)), users)

    async def go():
        for key in ("slurm", "other"):
            made.poller(key)._task = Forever()
        made.follow("slurm", "12", "alice", starting=False)
        made.follow("other", "12", "bob", starting=False)
        made.forget("slurm", "12")
        await made._from_users("other", ["12"])
        assert await made._from_users("slurm", ["12"]) == {}

    asyncio.run(go())
    assert users.asked == [("bob", ("12",), "other")]


def test_chunks(site):
    """Twelve hundred jobs are three calls of squeue, and one look."""
    ids = [str(number) for number in range(1, 1201)]
    answers = [
        Result((), 0, "".join(slurm_row(i, "RUNNING") for i in ids[start : start + 500]))
        for start in (0, 500, 1000)
    ]
    program = Program(*answers)
    made = Office(site, Desk(("x",)), runner=program)
    heard = look(made, *(("slurm", job_id, "alice") for job_id in ids))
    assert set(heard) == {JobState.RUNNING}
    assert len(program.commands) == 3
    assert made.poller("slurm").figures.questions == 1


def test_a_site_without_a_hub(tmp_path):
    """It has no office."""
    from pangeo_hpc.testing.sites import small_site_yaml

    path = tmp_path / "plain.yaml"
    path.write_text(small_site_yaml())
    with pytest.raises(ValueError, match="has no hub"):
        Office(load_site(path), Users())


def test_an_account_without_a_project(tmp_path):
    """The hub's account needs none of what users' own folders are named by."""
    path = write_site(tmp_path)
    path.write_text(path.read_text().replace("/{user}\n", "/{project}/{user}\n"))
    site = load_site(path, environ={"HOME": str(tmp_path), "PATH": ""})
    assert "{project}" in site.user_state
    assert set(Office(site, Users()).pollers) == {"slurm", "local"}


def test_the_states_of_a_status_order(site):
    """What the program told is what the poller hears, with times and all."""
    status = JobStatus(id="1.1001", state=JobState.FAILED, exit_code=3, nodes=("login1",))
    program = Program({"jobs": {"1.1001": keep(status)}})
    made = Office(site, Desk(("x",), runner=program))
    assert look(made, ("local", "1.1001", "alice")) == [JobState.FAILED]
