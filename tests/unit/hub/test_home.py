from dataclasses import replace
from datetime import timedelta

import pytest

from pangeo_hpc.hub import home
from pangeo_hpc.schedulers.base import JobRequest, JobState, JobStatus
from pangeo_hpc.server.clock import Span

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
        (JobState.RUNNING, False, False, "starting"),
        (JobState.RUNNING, True, False, "running"),
        (JobState.SUSPENDED, True, False, "suspended by the scheduler"),
        (JobState.RUNNING, True, True, "being stopped"),
    ],
)
def test_states_are_told_in_words(state, ready, stopping, expected):
    """No state of a scheduler is shown as it stands."""
    status = JobStatus(id="7", state=state) if state else None
    assert home.state_words(status, ready=ready, stopping=stopping) == expected


def test_core_hours_used_and_at_most():
    """Cores of all nodes, times what ran and what may run."""
    assert home.core_hours(REQUEST, timedelta(minutes=30)) == "2.00 of at most 8.00"
    two = replace(REQUEST, nodes=2)
    assert home.core_hours(two, timedelta(minutes=30)) == "4.00 of at most 16.00"


def test_the_clock_of_a_row():
    """Time left in whole minutes, worth a warning from 15 minutes on; nothing if not known."""
    told = home._clock(Span(begun=0.0, ends=7200.0), REQUEST, 1800.5)
    assert told["time_left"] == "1 hour 29 minutes"
    assert not told["soon"]
    assert told["core_hours"] == "2.00 of at most 8.00"
    assert home._clock(Span(begun=0.0, ends=7200.0), REQUEST, 7190.0)["time_left"] == (
        "less than a minute"
    )
    assert home._clock(Span(begun=0.0, ends=7200.0), REQUEST, 6300.0)["soon"]
    assert home._clock(Span(), None, 0.0) == {"ends": None, "time_left": "", "soon": False}


def test_nobody_has_no_servers():
    """The login page asks for the servers of nobody."""
    assert home.servers(None) == []
