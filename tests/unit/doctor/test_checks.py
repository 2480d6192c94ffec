"""Every check judges facts alone: no process, no file, no clock."""

import ast
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pangeo_hpc.doctor import checks
from pangeo_hpc.doctor.checks import CHECKS
from pangeo_hpc.doctor.facts import Facts, Failure
from pangeo_hpc.doctor.finding import Severity, healthy
from pangeo_hpc.doctor.look import PlaceState
from pangeo_hpc.schedulers.base import Account, JobState, NodeState, Qos, Queue, Settings, Versions
from pangeo_hpc.site import Site
from pangeo_hpc.units import GIB, MIB
from tests.unit.doctor.conftest import (
    ASKED,
    NODE,
    asked,
    canary,
    findings,
    flown,
    seen,
    status,
    told,
)

HUB = "hub: {url: 'https://h.example', connect_url: 'http://h.example', service_user: hubby}"


def test_each_file_is_a_check_and_is_used() -> None:
    """One check per file; a file that is forgotten in the list checks nothing."""
    folder = Path(checks.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert {check.__name__.rpartition(".")[2] for check in CHECKS} == files  # type: ignore[attr-defined]
    names = [check.NAME for check in CHECKS]
    assert len(set(names)) == len(names)
    assert all(
        check.TITLE.islower() or "_" in check.TITLE or "QOS" in check.TITLE for check in CHECKS
    )


def test_checks_ask_nobody() -> None:
    """A check imports nothing that starts a process or reads a file."""
    for path in Path(checks.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module not in ("pangeo_hpc.run", "os", "pathlib", "time"), path


def test_all_is_well(facts: Facts) -> None:
    """Each check says so, and nobody says anything worse."""
    found = checks.judge(facts)
    assert healthy(found)
    assert {finding.severity for finding in found} == {Severity.OK, Severity.NOTE}
    assert {finding.check for finding in found if finding.severity is Severity.OK} == {
        check.NAME for check in CHECKS
    }


def test_problems_have_remedies(facts: Facts) -> None:
    """A site of which nothing is right: every problem and warning says what to do."""
    broken = asked(facts, queues=(), nodes=(), accounts=(Account(name="other"),), version=(20,))
    broken = flown(broken, seen(interfaces={}, ahead=[60, 61], places={"scratch": {}}))
    found = checks.judge(broken)
    bad = [f for f in found if f.severity in (Severity.PROBLEM, Severity.WARNING)]
    assert len(bad) == 5
    assert all(finding.remedy for finding in bad), bad
    assert not healthy(found)


def test_nothing_is_known_without_canaries(facts: Facts) -> None:
    """What needs a node is skipped, with the reason, and is no problem."""
    found = checks.judge(replace(facts, canaries={}, unsent="no canaries were asked for"))
    assert healthy(found)
    skipped = {f.check for f in found if f.severity is Severity.SKIPPED}
    assert skipped == {
        "canary", "state", "scratch", "grants", "clock", "interfaces", "environments"
    }  # fmt: skip


def test_nothing_is_known_of_a_silent_scheduler(facts: Facts) -> None:
    """One problem says why; nobody else makes another of it."""
    silent = asked(
        facts, queues=None, nodes=None, accounts=None, settings=None,
        failures={"queues": Failure("no answer", "try again")},
    )  # fmt: skip
    found = checks.judge(replace(silent, canaries={}, unsent="the scheduler does not answer"))
    assert [f.check for f in found if f.severity is Severity.PROBLEM] == ["scheduler"]


# -- person, scheduler ----------------------------------------------------------------------


def test_root(facts: Facts) -> None:
    """Root is told how to check as a user."""
    [note] = findings("person", replace(facts, person=replace(facts.person, user="root", uid=0)))
    assert (note.severity, note.remedy) == (
        Severity.NOTE,
        "check as a user: pangeo-hpc doctor --as USER",
    )


@pytest.mark.parametrize(
    ("version", "severity", "words"),
    [
        ((21, 8), "ok", "slurm 21.08 answers"),
        ((22, 5, 8), "ok", "slurm 22.05.8 answers"),
        ((21, 7, 9), "warning", "slurm 21.07.9 is older than 21.08"),
        ((25, 11, 2), "note", "slurm 25.11.2 is newer than what was tested (22.05)"),
        ((), "ok", "slurm, which tells no version, answers"),
    ],
)
def test_versions(facts: Facts, version: tuple[int, ...], severity: str, words: str) -> None:
    """Older than supported is a warning, newer than tested a note."""
    assert told("scheduler", asked(facts, version=version)) == [(severity, words)]


def test_any_version(facts: Facts) -> None:
    """A scheduler of ours has no oldest version."""
    found = asked(facts, versions=Versions(), version=(0, 1, 0))
    assert told("scheduler", found) == [("ok", "slurm 0.1.0 answers")]


# -- queues, limits -------------------------------------------------------------------------


def test_queues(facts: Facts, make_site: Callable[..., Site]) -> None:
    """Unknown, closed, somebody else's, none at all."""
    site = make_site(queue="regullar")
    [unknown, note] = findings("queues", replace(facts, site=site))
    assert unknown.remedy == "did you mean regular? queues there: regular"
    assert note.text == "slurm has queues that no node type names: regular"
    closed = asked(facts, queues=(Queue(name="regular", enabled=False),))
    assert told("queues", closed)[0][0] == "warning"
    others = asked(facts, queues=(Queue(name="regular", users=("bob",)),))
    assert "is not for alice" in told("queues", others)[0][1]
    default = replace(facts, site=make_site(omit="[queue]"))
    assert told("queues", default) == []
    none = asked(default, queues=(Queue(name="other"),))
    assert "has no default one" in told("queues", none)[0][1]


ROUTES = (
    Queue(name="main", routes=("short@server", "long")),
    Queue(name="short", max_walltime=timedelta(minutes=30)),
    Queue(name="long", max_walltime=timedelta(hours=2)),
)


def test_a_queue_that_leads_elsewhere(facts: Facts, make_site: Callable[..., Site]) -> None:
    """The widest queue behind it counts, and those are not told as forgotten."""
    routed = asked(replace(facts, site=make_site(queue="main")), queues=ROUTES)
    routed = asked(routed, queues=ROUTES, nodes=(replace(NODE, queues=()),))
    assert told("queues", routed) == []
    assert told("limits", routed) == []
    longer = replace(routed, site=make_site(queue="main", max_walltime='"03:00:00"'))
    [beyond] = findings("limits", longer)
    assert beyond.remedy == "lower node_types.compute.max_walltime to 02:00:00"


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"walltime": '"13:00:00"'}, "lower node_types.compute.walltime to 12:00:00"),
        ({"max_walltime": '"13:00:00"'}, "lower node_types.compute.max_walltime to 12:00:00"),
        ({"cores": "9"}, "lower node_types.compute.cores to 8"),
        ({"max_cores": "9"}, "lower node_types.compute.max_cores to 8"),
        ({"memory": "17 GiB"}, "lower node_types.compute.memory to 16 GiB"),
        ({"max_gpus": "1"}, "lower node_types.compute.max_gpus to 0"),
        ({"max_nodes": "3"}, "lower node_types.compute.max_nodes to 2"),
        ({"constraint": "milan"}, "correct it: the scheduler lists the features of its nodes"),
        ({"walltime": '"13:00:00"', "omit": "[walltime]"}, None),
    ],
)
def test_limits(
    facts: Facts, make_site: Callable[..., Site], changes: dict[str, str], remedy: str | None
) -> None:
    """Each amount is compared with what queue and nodes have."""
    found = findings("limits", replace(facts, site=make_site(**changes)))
    assert [finding.remedy for finding in found] == ([] if remedy is None else [remedy])


def test_limits_of_a_queue(facts: Facts, make_site: Callable[..., Site]) -> None:
    """Cores, memory and nodes of a queue count as those of its nodes."""
    narrow = Queue(name="regular", max_cores=2, max_memory=4 * GIB, max_nodes=1)
    site = make_site(max_nodes="2")
    found = findings("limits", asked(replace(facts, site=site), queues=(narrow,)))
    assert [finding.path for finding in found] == [
        f"node_types.compute.{key}" for key in ("max_nodes", "cores", "memory")
    ]


def test_no_node_has_it_together(facts: Facts, make_site: Callable[..., Site]) -> None:
    """Cores of one node and memory of another do not make a job."""
    nodes = (replace(NODE, cores=2, memory=64 * GIB), replace(NODE, memory=4 * GIB))
    [finding] = findings("limits", asked(facts, nodes=nodes))
    assert "together" in finding.text


def test_memory_that_is_not_told(facts: Facts) -> None:
    """Slurm counts 1 MB where a site tells it nothing: that is no limit."""
    assert told("limits", asked(facts, nodes=(replace(NODE, memory=MIB),))) == []


# -- accounts, QOS --------------------------------------------------------------------------


def test_qos(facts: Facts, make_site: Callable[..., Site]) -> None:
    """Unknown, not for this user, shorter than the node type allows, not told."""
    unknown = replace(facts, site=make_site(qos="premium"))
    assert findings("accounts", unknown)[0].path == "node_types.compute.qos"
    others = asked(facts, accounts=(Account(name="climate", qos=("low",)),))
    assert "may not use QOS normal" in told("accounts", others)[0][1]
    short = Settings(qos=(Qos(name="normal", max_walltime=timedelta(minutes=10)),))
    [limit, *_] = findings("accounts", asked(facts, settings=short))
    assert limit.remedy == "lower node_types.compute.walltime to 00:10:00"
    silent = asked(facts, settings=Settings())
    assert told("accounts", silent)[0][0] == "skipped"


def test_accounts(facts: Facts, make_site: Callable[..., Site]) -> None:
    """The account of the site, of the user, of a template; none is no matter of ours."""
    person = replace(facts.person, account="climate")
    for rule, wrong in (("lab7", True), ('"{account}_g"', True), ("optional", False)):
        tried = replace(facts, person=person, site=make_site(account=rule))
        problems = [text for severity, text in told("accounts", tried) if severity == "problem"]
        assert bool(problems) is wrong, rule
    nobody = replace(facts, site=make_site(account='"{account}_g"'))
    assert all(severity == "note" for severity, _ in told("accounts", nobody))
    stranger = asked(facts, accounts=())
    assert ("warning", "slurm keeps accounts, and alice has none") in told("accounts", stranger)


def test_spare_qos_is_a_note(facts: Facts) -> None:
    """What a user may use and no node type offers is worth knowing."""
    assert ("note", "alice may use QOS that no node type names: high") in told("accounts", facts)


# -- privacy, history -----------------------------------------------------------------------

PRIVATE = Settings(private_jobs=True, overseer=False, history=True, to_see_all="make overseer")


def test_privacy(facts: Facts, make_site: Callable[..., Site]) -> None:
    """It matters to a hub; a user alone needs to see only their own jobs."""
    alone = asked(facts, settings=PRIVATE)
    [note] = findings("privacy", alone)
    assert note.severity is Severity.NOTE
    assert note.remedy == "the user of a hub needs to see all jobs: make overseer"
    with_hub = asked(replace(facts, site=make_site(top=HUB)), settings=PRIVATE, hub=PRIVATE)
    [wrong, note] = findings("privacy", with_hub)
    assert (wrong.severity, wrong.remedy, wrong.path) == (
        Severity.PROBLEM,
        "make overseer",
        "hub.service_user",
    )
    assert note.remedy is None
    unknown = replace(PRIVATE, overseer=None)
    unsure = asked(with_hub, settings=PRIVATE, hub=unknown)
    assert findings("privacy", unsure)[0].severity is Severity.WARNING
    fine = asked(with_hub, settings=PRIVATE, hub=replace(PRIVATE, overseer=True))
    assert [finding.severity for finding in findings("privacy", fine)] == [Severity.NOTE]


@pytest.mark.parametrize(
    ("history", "severity"), [(True, "ok"), (False, "warning"), (None, "problem")]
)
def test_history(facts: Facts, history: bool | None, severity: str) -> None:
    """Off is a warning; on and silent is a problem."""
    settings = Settings(history=history, to_keep_history="turn it on")
    [finding] = findings("history", asked(facts, settings=settings))
    assert finding.severity == severity
    assert finding.remedy == (None if history else "turn it on")


# -- canaries -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "severity", "words"),
    [
        ((replace(NODE, state=NodeState.BUSY),), "warning", "300 s: Resources"),
        ((replace(NODE, state=NodeState.PARTLY, cores_used=6),), "warning", "Resources"),
        ((NODE,), "problem", "though nodes are free: Resources"),
        ((replace(NODE, state=NodeState.DOWN, reason="fan"),), "problem", "is down (fan)"),
    ],
)
def test_a_canary_that_waits(
    facts: Facts, nodes: tuple[object, ...], severity: str, words: str
) -> None:
    """A full cluster is no fault; free nodes that are not given, or dead ones, are."""
    bird = canary(report=None, status=status(JobState.PENDING, reason="Resources"))
    [finding] = findings("canary", asked(flown(facts, bird), nodes=nodes))
    assert finding.severity == severity
    assert words in finding.text


def test_a_canary_that_was_refused(facts: Facts) -> None:
    """Each reason is one problem, with the hint of the refusal."""
    failures = (Failure("needs an account", "give one"), Failure("no such queue", None))
    bird = canary(report=None, status=None, failures=failures)
    found = findings("canary", flown(facts, bird))
    assert [finding.remedy for finding in found] == ["give one", None]


@pytest.mark.parametrize(
    ("bird", "severity", "words"),
    [
        (
            canary(report=None, status=status(JobState.RUNNING)),
            "problem",
            "did not end, and was cancelled",
        ),
        (
            canary(report=None, status=status(JobState.FAILED, exit_code=9), output=("no gcc", "")),
            "problem",
            "(failed, exit code 9); it said: no gcc",
        ),
        (
            canary(report=None, status=status(JobState.OUT_OF_MEMORY, reason="too big")),
            "problem",
            "(out of memory, too big)",
        ),
        # it did its work, and the site's epilogue failed
        (canary(status=status(JobState.NODE_FAIL)), "problem", "(node fail)"),
        (canary(status=status(JobState.LOST)), "ok", "ran on n1"),
    ],
)
def test_how_canaries_end(facts: Facts, bird: object, severity: str, words: str) -> None:
    """The scheduler's words and the job's own last ones are told."""
    [finding] = findings("canary", flown(facts, bird))  # type: ignore[arg-type]
    assert finding.severity == severity
    assert words in finding.text


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED, JobState.LOST])
def test_a_canary_without_a_trace(facts: Facts, state: JobState) -> None:
    """Ended, and nothing in user_state: the node does not see it."""
    bird = canary(report=None, traced=False, status=status(state))
    [finding] = findings("state", flown(facts, bird))
    assert finding.path == "user_state"
    assert "filesystem that compute nodes see" in (finding.remedy or "")
    assert told("canary", flown(facts, bird)) == [
        ("skipped", "not checked: the job of node type compute ended early; see state")
    ]


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.NODE_FAIL, JobState.OUT_OF_MEMORY])
def test_an_end_by_force_is_no_proof(facts: Facts, state: JobState) -> None:
    """A job that was ended before it could write says nothing about user_state."""
    bird = canary(report=None, traced=False, status=status(state))
    assert [severity for severity, _ in told("state", flown(facts, bird))] == []
    assert told("canary", flown(facts, bird))[0][0] == "problem"


# -- what was seen on the node --------------------------------------------------------------


def test_scratch_here(facts: Facts) -> None:
    """Missing, refused, not to be told, made later."""
    place = facts.places[0]
    for state, severity, words in (
        (PlaceState.MISSING, "problem", "cannot be used"),
        (PlaceState.REFUSED, "problem", "cannot be written by alice"),
        (PlaceState.CREATABLE, "ok", "is made at its first use"),
    ):
        tried = replace(facts, places=(replace(place, state=state, words="why"),))
        [(found, text)] = told("scratch", tried)
        assert (found, words in text) == (severity, True), text
    unknown = replace(place, path=None, words="$SCRATCH is not set", hint="set it")
    [finding] = findings("scratch", replace(facts, places=(unknown,)))
    assert (finding.remedy, finding.path) == ("set it", "scratch.scratch.path")


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (
            {"state": "missing", "words": "gone"},
            "cannot be written on n1 (node type compute): gone",
        ),
        ({"state": "writable", "same": False}, "is another directory than here"),
        ({"state": "creatable", "same": False}, "is another directory than here"),
    ],
)
def test_scratch_there(facts: Facts, there: dict[str, object], words: str) -> None:
    """On the node it may be missing, or another one."""
    [(severity, text)] = told("scratch", flown(facts, seen(places={"scratch": there})))
    assert severity == "problem"
    assert words in text


def test_grants(facts: Facts, make_site: Callable[..., Site]) -> None:
    """Less memory is a problem, fewer cores a warning; what is omitted is nobody's promise."""
    less = flown(facts, seen(granted={"cores": 4, "memory": 6 * GIB}))
    assert told("grants", less)[0][0] == "problem"
    fewer = flown(facts, seen(usable={"cores": 2, "memory": 16 * GIB}))
    assert told("grants", fewer)[0] == (
        "warning",
        "a job of node type compute on n1 asked for 4 cores and may use 2",
    )
    assert told("grants", replace(less, site=make_site(omit="[memory]"))) == []
    untold = flown(facts, seen(granted={"cores": None, "memory": None}))
    assert told("grants", untold) == []
    rounded = flown(facts, seen(granted={"cores": 4, "memory": 8 * GIB - 100 * MIB}))
    assert told("grants", rounded) == []


@pytest.mark.parametrize(
    ("ahead", "severity", "words"),
    [
        ([-0.2, 0.9], None, ""),
        ([-30.0, 45.0], None, ""),
        ([1.5, 1.9], None, ""),
        ([3.0, 3.2], "warning", "is 3 seconds ahead of"),
        ([-4.0, -3.0], "warning", "is 3 seconds behind"),
        ([119.9, 120.4], "problem", "is 2 minutes ahead of"),
        ([-121.0, -120.0], "problem", "is 2 minutes behind"),
        (None, "note", "could not be compared"),
    ],
)
def test_clock(facts: Facts, ahead: object, severity: str | None, words: str) -> None:
    """Only what is certain counts: the interval that does not hold zero."""
    found = told("clock", flown(facts, seen(ahead=ahead)))
    assert [each for each, _ in found] == ([] if severity is None else [severity])
    assert all(words in text for _, text in found)


@pytest.mark.parametrize(
    ("interface", "words"),
    [("ib7", "is not there on n1"), ("eth1", "has no IPv4 address on n1"), ("lo", None)],
)
def test_interfaces(
    facts: Facts, make_site: Callable[..., Site], interface: str, words: str | None
) -> None:
    """It must be there, with an address that Dask can use; the others are listed."""
    found = findings("interfaces", replace(facts, site=make_site(interface=interface)))
    assert [words in each.text for each in found] == ([] if words is None else [True])  # type: ignore[operator]
    assert all("lo (127.0.0.1), ib0 (10.0.0.5)" in (each.remedy or "") for each in found)


# -- environments ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trial", "remedy"),
    [
        (
            {"words": "x\npangeo-hpc: environment current: /p/bin/python is not there on n1"},
            "put it on a filesystem",
        ),
        ({"words": "ERROR: Unable to locate a modulefile for 'netcdf/99'"}, "correct the modules"),
        ({"words": "pangeo-hpc: environment current: cannot import pangeo_hpc 0.1:"}, "install it"),
        ({"words": "no answer within 90 s"}, "install it"),
        ({"versions": {}, "broken": {"dask": "ModuleNotFoundError: dask"}}, "install it"),
    ],
)
def test_environments(facts: Facts, trial: dict[str, object], remedy: str) -> None:
    """The remedy fits the words."""
    [finding] = findings("environments", flown(facts, seen(environments={"current": trial})))
    assert finding.severity is Severity.PROBLEM
    assert (finding.remedy or "").startswith(remedy)


def test_an_environment_that_ends_the_canary(facts: Facts) -> None:
    """The check at the head of the job is quoted, once, and nobody else makes a problem of it."""
    words = "pangeo-hpc: environment current: /p/bin/python cannot import pangeo_hpc 0.1: no"
    bird = canary(report=None, status=status(JobState.FAILED, exit_code=3), output=(words,))
    found = [f for f in checks.judge(flown(facts, bird)) if f.severity is Severity.PROBLEM]
    assert [finding.check for finding in found] == ["environments"]
    assert found[0].text == f"node type compute: {words.removeprefix('pangeo-hpc: ')}"


def test_another_dask_than_here_is_a_note(facts: Facts) -> None:
    """A client of another version would speak to these workers."""
    assert told("environments", replace(facts, modules={"distributed": "2"})) == [
        ("note", "environment current has distributed 1, and this Python 2")
    ]


def test_two_schedulers_are_told_apart(facts: Facts) -> None:
    """A key that is not the kind is told with it."""
    named = replace(facts, schedulers={"slurm": replace(ASKED, key="slurm", kind="pbs")})
    assert told("scheduler", named) == [("ok", "slurm: pbs 22.05.8 answers")]
