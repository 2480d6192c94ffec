"""What the form shows, before any HTML."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from pangeo_hpc import texts
from pangeo_hpc.errors import Problem, RequestRefused
from pangeo_hpc.hub import answers, choices, job
from pangeo_hpc.hub.conditions import Free
from pangeo_hpc.hub.fields import Seen, beside, context, field_of
from pangeo_hpc.hub.usage import Book, Used
from pangeo_hpc.schedulers.base import Account, JobState, JobStatus, NodeState
from tests.unit.hub import formsite

COUNTS = {NodeState.IDLE: 3, NodeState.PARTLY: 1, NodeState.BUSY: 7, NodeState.DOWN: 2}


def shown(tmp_path, **seen):
    return context(formsite.site(tmp_path), texts.load(), Seen(**seen))


def test_only_node_types_for_notebooks_are_offered(tmp_path):
    """The default one is first and chosen; a node type for batch jobs only is not there."""
    nodes = shown(tmp_path)["node_types"]
    assert [each["name"] for each in nodes] == ["shared", "short", "casper"]
    assert [each["checked"] for each in nodes] == [True, False, False]


def test_limits_and_defaults_are_told(tmp_path):
    """Cores, memory, GPUs and walltime, each with how far a user may go; fixed ones without."""
    shared, short, casper = (each["facts"] for each in shown(tmp_path)["node_types"])
    assert shared == [
        "Cores: 4, up to 32",
        "Memory: 16 GiB, up to 128 GiB",
        "Walltime: 4 hours, up to 12 hours",
    ]
    assert short[0] == "Cores: 4"
    assert casper[2] == "GPUs: 0, up to 2"


def test_nodes_are_told_with_their_age(tmp_path):
    """Numbers that are old say so, and so does a scheduler that does not answer."""
    free = {"shared": Free(COUNTS, 125.0, "no answer"), "short": Free(COUNTS, 1.0)}
    shared, short, casper = (each["nodes"] for each in shown(tmp_path, free=free)["node_types"])
    assert shared == (
        "Nodes: 3 idle, 1 partly used, 7 busy, 2 down, as of 2 minutes 5 seconds ago, "
        "the scheduler does not answer now"
    )
    assert short.endswith("2 down, as of now")
    assert "not told yet" in casper


def test_accounts_are_the_users_own(tmp_path):
    """They are chosen from a list, which keeps a typed one; where there is none, one types it."""
    accounts = (Account(name="climate", default=True), Account(name="ocean"))
    names = [each["name"] for each in shown(tmp_path, accounts=accounts)["accounts"]]
    assert names == ["", "climate", "ocean"]
    given = {"account": "other"}
    found = shown(tmp_path, accounts=accounts, given=given)["accounts"]
    assert found[-1]["name"] == "other"
    assert "climate" in found[0]["text"]
    assert shown(tmp_path)["accounts"] == []


def test_an_option_says_where_it_is_for(tmp_path):
    """A reservation declared in the YAML is a field, with the node types that have it."""
    (option,) = shown(tmp_path)["options"]
    assert option["field"] == "option.reservation"
    assert option["hint"] == "A course. Leave it empty if you need none. Only for: shared."


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("cores", "cores"),
        ("option begin", "option.begin"),
        ("option.begin", "option.begin"),
        ("node_types.shared.options.begin", "option.begin"),
        ("node_types.shared.account", "account"),
        ("node_types.shared.directives", ""),
        ("partition", ""),
        ("", ""),
    ],
)
def test_a_problem_finds_its_field(path, field):
    """Wherever a problem comes from, it stands beside what the user can change."""
    assert field_of(path) == field


def test_several_problems_of_one_field_stand_together():
    """None is lost, and each has its hint."""
    problems = [Problem("cores", "too many", "ask for 4"), Problem("cores", "odd")]
    found = beside(problems, texts.load())
    assert found == {"cores": ["too many; ask for 4", "odd"]}


def test_what_servers_used_is_remembered(tmp_path):
    """The most of the last five, each once, over a restart of the hub; none that never began."""
    path = tmp_path / "usage.json"
    book = Book(path)
    begun = datetime(2026, 11, 1, tzinfo=UTC)
    for number in range(7):
        status = JobStatus(
            id=str(number),
            state=JobState.COMPLETED,
            started=begun,
            ended=begun + timedelta(hours=10 - number),
            memory_used=(10 - number) * 2**30,
        )
        for _ in range(2):
            book.note("alice", Used.of(status, "shared"))
    assert Used.of(JobStatus(id="8", state=JobState.CANCELLED), "shared") is None
    used = Book(path).last("alice")
    assert [each.job for each in used] == ["2", "3", "4", "5", "6"]
    assert shown(tmp_path, used=used)["used"] == (
        "Your last servers used at most 8 GiB of memory and 8 hours."
    )
    assert path.stat().st_mode & 0o777 == 0o600
    assert Book(path).last("bob") == ()


def test_a_broken_file_of_usage_is_written_anew(tmp_path):
    """The hub starts all the same."""
    path = tmp_path / "usage.json"
    for text in ("{", "[]", '{"users": {"alice": [{"job": 1}]}}', '{"users": {"alice": [7]}}'):
        path.write_text(text)
        assert Book(path).last("alice") == ()
    Book(path).note("alice", Used(job="1", node_type="shared", seconds=60.0))
    assert len(Book(path).last("alice")) == 1


def test_limits_are_told_in_the_sites_language(tmp_path):
    """Also what only the user's own program could see, and passed on as JSON."""
    path = tmp_path / "de.json"
    limits = {"more": "{value} ist mehr als {node_type} erlaubt ({most})", "no_unit": "{value}?"}
    path.write_text(json.dumps({"limits": limits}))
    german = texts.load(path)
    site, alice = formsite.site(tmp_path), formsite.person(tmp_path)
    with pytest.raises(RequestRefused) as caught:
        choices.decide(site, choices.read({"cores": "99", "walltime": "7"}), alice)
    told = json.loads(json.dumps(job.plain_error(caught.value)))
    again = answers.error(told)
    assert str(again) == str(caught.value)
    assert "is more than node type" in str(again)
    said = beside(again.problems, german)
    assert said["cores"][0].startswith("99 ist mehr als ")
    assert said["walltime"] == ["'7'?"]
