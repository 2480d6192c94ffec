"""What the hub may tell the program that acts as a user: these keys, and nothing else."""

import json

import pytest

from pangeo_hpc.errors import RequestRefused
from pangeo_hpc.hub import orders
from pangeo_hpc.hub.tickets import FORMAT, NAME, VERBS, Ticket, read
from pangeo_hpc.jobs import with_nonce

GOOD = {
    "format": FORMAT,
    "user": "alice",
    "name": "jupyter-x7k2abcd",
    "server": "big",
    "choices": {"cores": "2"},
    "variables": {"JUPYTERHUB_API_TOKEN": "secret"},
    "jobs": ["12", "131[].server.example", "7.1001"],
    "scheduler": "slurm",
    "lines": 20,
}


def test_what_is_written_is_read():
    """A ticket survives its way through JSON, and leaves out what was not said."""
    ticket = read(json.loads(json.dumps(GOOD)))
    assert read(json.loads(json.dumps(ticket.plain()))) == ticket
    assert Ticket(user="alice", lines=40).plain() == {"format": 1, "user": "alice", "lines": 40}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 2),
        ("user", ""),
        ("user", "a" * 65),
        ("user", "alice\n"),
        ("name", "other-x7k2abcd"),
        ("name", "jupyter-x7k2abcd/../../x"),
        ("name", "jupyter-x7k2abcd\n"),
        ("server", "a/b"),
        ("choices", {"cores": 2}),
        ("choices", ["cores"]),
        ("variables", {"LD_PRELOAD": "/tmp/x.so"}),
        ("variables", {"PATH": "/tmp"}),
        ("variables", {"JUPYTERHUB_X": "a\nb"}),
        ("jobs", ["--all"]),
        ("jobs", ["-1"]),
        ("jobs", ["1 2"]),
        ("jobs", [12]),
        ("jobs", ["1"] * 1001),
        ("scheduler", 3),
        ("lines", True),
        ("lines", 5000),
        ("command", "id"),
    ],
)
def test_what_is_not_in_place_is_refused(key, value):
    """Each odd value is refused by its key, and nothing of it is carried out."""
    with pytest.raises(RequestRefused) as caught:
        read({**GOOD, key: value})
    assert [problem.path for problem in caught.value.problems] == [key]


@pytest.mark.parametrize("given", [None, [], "x", {}, {"format": 1}])
def test_what_is_no_ticket(given):
    """Anything but an object for a user is refused."""
    with pytest.raises(RequestRefused):
        read(given)


def test_the_program_knows_the_verbs_of_the_sudo_rule():
    """A verb in the rule that the program has not, or the other way round, would never work."""
    assert tuple(orders.VERBS) == VERBS


def test_the_names_of_jobs_are_names_of_tickets():
    """What `with_nonce` makes for a server is a name that the program takes."""
    assert all(NAME.fullmatch(with_nonce("jupyter", 8)) for _ in range(200))
