from dataclasses import replace
from datetime import timedelta

import pytest

from pangeo_hpc import texts
from pangeo_hpc.hub import home
from pangeo_hpc.schedulers.base import JobRequest, JobState, JobStatus
from pangeo_hpc.server.clock import Span

ENGLISH = texts.load()
REQUEST = JobRequest(
    name="jupyter-1", command=("true",), node_type="compute", scheduler="slurm",
    cores=4, memory=2**30, walltime=timedelta(hours=2),
)  # fmt: skip


@pytest.mark.parametrize(
    ("state", "ready", "stopping", "expected"),
    [
        (None, False, False, "handed to the scheduler"),
        (None, True, False, "running"),
        (JobState.PENDING, False, False, "waiting in the queue"),
        (JobState.HELD, False, False, "waiting in the queue"),
        (JobState.RUNNING, False, False, "starting"),
        (JobState.RUNNING, True, False, "running"),
        (JobState.SUSPENDED, True, False, "suspended by the scheduler"),
        (JobState.UNKNOWN, True, False, "the scheduler does not say"),
        (JobState.RUNNING, True, True, "being stopped"),
        (JobState.CANCELLED, True, False, "ending"),
    ],
)
def test_states_are_told_in_words(state, ready, stopping, expected):
    """No state of a scheduler is shown as it stands."""
    status = JobStatus(id="7", state=state) if state else None
    word = home.state_word(status, ready=ready, stopping=stopping)
    assert ENGLISH(f"home.states.{word}") == expected


def test_every_state_has_a_word():
    """A scheduler's state that is new to this page does not break it."""
    for state in JobState:
        word = home.state_word(JobStatus(id="7", state=state), ready=True, stopping=False)
        assert ENGLISH(f"home.states.{word}")


def test_the_clock_of_a_row():
    """Time left in whole minutes, and core-hours: cores of all nodes times what ran and may run."""
    told = home.clock(Span(begun=0.0, ends=7200.0), REQUEST, 1800.5, ENGLISH)
    assert told["time_left"] == "1 h 29 min"
    assert not told["soon"]
    assert told["core_hours"] == "2.00 of at most 8.00"
    told = home.clock(Span(begun=0.0, ends=7200.0), replace(REQUEST, nodes=2), 1800.0, ENGLISH)
    assert told["core_hours"] == "4.00 of at most 16.00"


def test_the_last_minutes_are_worth_a_warning():
    """From 15 minutes on; a job that Slurm ends late has nothing left and uses no more."""
    for left, soon in ((901, False), (900, True), (10, True)):
        told = home.clock(Span(begun=0.0, ends=7200.0), REQUEST, 7200.0 - left, ENGLISH)
        assert told["soon"] is soon
    told = home.clock(Span(begun=0.0, ends=7200.0), REQUEST, 7260.0, ENGLISH)
    assert (told["time_left"], told["core_hours"]) == ("0 min", "8.00 of at most 8.00")


def test_what_is_not_known_is_not_told():
    """Before a job begins there is neither an end nor a use."""
    told = home.clock(Span(), REQUEST, 0.0, ENGLISH)
    assert told == {"ends": None, "time_left": "", "soon": False}


def test_nobody_has_no_servers():
    """The login page asks for the servers of nobody."""
    assert home.servers(None) == home.Table()
