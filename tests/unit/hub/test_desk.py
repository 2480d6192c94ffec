"""Orders to the program that acts as users: what stands in argv, environment and input."""

import asyncio
import getpass

import pytest

from pangeo_hpc import errors
from pangeo_hpc.errors import Exit, PangeoHpcError, RequestRefused, SchedulerUnreachable
from pangeo_hpc.hub import answers, tickets
from pangeo_hpc.hub.desk import Desk, Kept, Submitted, person_of
from pangeo_hpc.hub.job import plain_error
from pangeo_hpc.jobs.record import keep
from pangeo_hpc.run import Result, minimal_environment
from pangeo_hpc.schedulers.base import JobState, JobStatus
from tests.unit.hub.conftest import Program

PROGRAM = "/opt/pangeo-hpc/bin/pangeo-hpc-hub-job"


def desk(*answers):
    program = Program(*answers)
    return Desk((PROGRAM,), runner=program), program


def submit(made: Desk) -> Submitted:
    return asyncio.run(
        made.submit(
            "alice",
            name="jupyter-x7k2abcd",
            server="big",
            choices={"cores": "2"},
            variables={"JUPYTERHUB_API_TOKEN": "very-secret"},
        )
    )


def test_a_submission():
    """One call of sudo with a fixed argv; the order and its secrets go by standard input."""
    made, program = desk({"job": "12", "scheduler": "slurm"})
    assert submit(made) == Submitted("12", "slurm")
    (command,) = program.commands
    assert command.argv == ("/usr/bin/sudo", "-n", "-u", "alice", "--", PROGRAM, "submit")
    assert tickets.read(program.orders[0]).variables == {"JUPYTERHUB_API_TOKEN": "very-secret"}
    assert str(command.cwd) == "/"


def test_the_hubs_environment_goes_nowhere():
    """Whatever the hub's process has, the program gets a short fixed environment."""
    made, program = desk({"job": "12", "scheduler": "slurm"})
    submit(made)
    (command,) = program.commands
    ours = {
        "PATH": "/evil", "HOME": "/var/lib/pangeohub", "USER": "pangeohub",
        "CONFIGPROXY_AUTH_TOKEN": "s", "JUPYTERHUB_CRYPT_KEY": "s", "SLURM_CONF": "/x",
    }  # fmt: skip
    environment = minimal_environment(command.environment, ours)
    assert environment == {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TZ": "UTC", "LC_ALL": "C",
    }  # fmt: skip


def test_a_hub_of_ones_own_needs_no_sudo():
    """An order for the very user who runs the hub calls the program itself."""
    made, program = desk({"jobs": {}})
    asyncio.run(made.status(getpass.getuser(), ["1"]))
    assert program.commands[0].argv == (PROGRAM, "status")


def test_states_and_problems_come_back():
    """A state has its times and durations again; a problem is told by its id."""
    status = JobStatus(id="12", state=JobState.OUT_OF_MEMORY, nodes=("c1",), memory_used=5)
    made, program = desk({"jobs": {"12": keep(status)}}, {"problems": {"12": "no"}})
    assert asyncio.run(made.status("alice", ["12"], scheduler="slurm")) == {"12": status}
    assert asyncio.run(made.cancel("alice", ["12"], scheduler="slurm")) == {"12": "no"}
    assert [order["scheduler"] for order in program.orders] == ["slurm", "slurm"]


def test_a_submission_of_which_nobody_can_say_anything():
    """It is neither taken nor refused: the hub asks again, and never submits twice."""
    made, _ = desk({"job": None, "scheduler": "slurm"})
    with pytest.raises(SchedulerUnreachable):
        submit(made)
    for answer, expected in (
        ({"job": "7.1001", "scheduler": "local", "unclear": False}, Submitted("7.1001", "local")),
        ({"job": None, "scheduler": "slurm", "unclear": False}, None),
    ):
        made, _ = desk(answer)
        assert asyncio.run(made.find("alice", "jupyter-x7k2abcd")) == expected
    made, _ = desk({"job": None, "scheduler": "slurm", "unclear": True})
    with pytest.raises(SchedulerUnreachable):
        asyncio.run(made.find("alice", "jupyter-x7k2abcd"))


def test_the_servers_of_a_user():
    """Each job that has not ended is told with its scheduler and its name."""
    row = {"job": "12", "scheduler": "slurm", "name": "jupyter-x7k2abcd"}
    made, _ = desk({"jobs": [row]})
    (kept,) = asyncio.run(made.servers("alice"))
    assert kept == Kept("12", "slurm", "jupyter-x7k2abcd")


@pytest.mark.parametrize(
    "result",
    [
        Result((), 1, "", "sudo: a password is required"),
        Result((), None, ""),
    ],
)
def test_a_program_that_cannot_be_asked(result):
    """Without sudo rule or program nothing is known; the error quotes what was said."""
    made, _ = desk(result)
    with pytest.raises(SchedulerUnreachable) as caught:
        submit(made)
    assert result.words in caught.value.text
    assert "doctor --hub" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "error",
    [
        RequestRefused([errors.Problem("cores", "too many", "ask for less")]),
        errors.SubmitRefused("no", hint="ask the centre"),
        errors.NotAllowed("quota"),
        errors.UnknownName("x"),
    ],
)
def test_errors_keep_their_kind(error):
    """What the program raised is raised again, with its words, problems and exit code."""
    made, _ = desk({"error": plain_error(error)})
    with pytest.raises(type(error)) as caught:
        submit(made)
    assert str(caught.value) == str(error)
    assert caught.value.exit_code == error.exit_code


@pytest.mark.parametrize("kind", ["SystemExit", "Exit", "Problem", "nothing", "__name__"])
def test_an_error_of_an_unknown_kind(kind):
    """A name that is none of our errors makes a plain one."""
    error = answers.error({"kind": kind, "text": "x", "hint": None})
    assert type(error) is PangeoHpcError
    assert error.exit_code is Exit.NO


def test_a_person_by_name():
    """A Unix user has the ids of the system; nobody else is a person."""
    assert (person_of("root").uid, person_of("root").group) == (0, "root")
    with pytest.raises(KeyError):
        person_of("nobody-of-that-name")
