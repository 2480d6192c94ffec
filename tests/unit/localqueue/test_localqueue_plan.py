"""The plan of the queue holds to the machine, keeps the order, and starves nobody."""

from hypothesis import given
from hypothesis import strategies as st

from pangeo_hpc.localqueue.plan import DEPTH, Claim, starts
from pangeo_hpc.machine import Machine

MACHINE = Machine(cores=4, memory=100)

claims = st.builds(
    Claim,
    id=st.just(""),
    cores=st.integers(1, 4),
    memory=st.integers(1, 100),
    seconds=st.integers(1, 50).map(float),
)


def named(found: list[Claim]) -> list[Claim]:
    return [Claim(str(n), c.cores, c.memory, c.seconds) for n, c in enumerate(found)]


def test_an_empty_machine() -> None:
    """What fits starts at once."""
    assert starts(named([Claim("", 4, 100, 10)]), [], MACHINE) == {"0": 0.0}


def test_behind_each_other() -> None:
    """What does not fit beside another waits for its end."""
    wanted = named([Claim("", 3, 10, 10), Claim("", 3, 10, 5), Claim("", 3, 10, 5)])
    assert starts(wanted, [], MACHINE) == {"0": 0.0, "1": 10.0, "2": 15.0}


def test_a_gap_is_filled() -> None:
    """A short job runs in the gap before a large one, a long one does not."""
    running = [Claim("r", 3, 10, 10)]
    wanted = named([Claim("", 4, 10, 5), Claim("", 1, 10, 11), Claim("", 1, 10, 10)])
    assert starts(wanted, running, MACHINE) == {"0": 10.0, "1": 15.0, "2": 0.0}


def test_too_large_for_the_machine() -> None:
    """What can never run gets no place and is in nobody's way."""
    assert starts(named([Claim("", 5, 1, 1), Claim("", 4, 1, 1)]), [], MACHINE) == {"1": 0.0}


def test_a_running_job_past_its_time() -> None:
    """Its place is not given away before it is free."""
    places = starts(named([Claim("", 2, 1, 5)]), [Claim("r", 4, 1, 0.0)], MACHINE)
    assert places["0"] > 0


def test_the_plan_has_an_end() -> None:
    """A very long queue is planned as far as it makes sense."""
    assert len(starts(named([Claim("", 1, 1, 10)] * (DEPTH + 50)), [], MACHINE)) == DEPTH


@given(st.lists(claims, max_size=12), st.lists(claims, max_size=3))
def test_never_more_than_the_machine_has(waiting: list[Claim], running: list[Claim]) -> None:
    """At no moment of the plan is more in use than there is, beyond what runs already."""
    running = [c for n, c in enumerate(running) if sum(r.cores for r in running[: n + 1]) <= 4]
    running = [c for n, c in enumerate(running) if sum(r.memory for r in running[: n + 1]) <= 100]
    wanted = named(waiting)
    places = starts(wanted, running, MACHINE)
    assert set(places) == {claim.id for claim in wanted}
    spans = [(0.0, claim.seconds, claim) for claim in running]
    spans += [(places[c.id], places[c.id] + c.seconds, c) for c in wanted]
    for moment in {begin for begin, _, _ in spans}:
        now = [claim for begin, end, claim in spans if begin <= moment < end]
        assert sum(claim.cores for claim in now) <= 4
        assert sum(claim.memory for claim in now) <= 100


@given(st.lists(claims, min_size=1, max_size=12), claims)
def test_a_later_job_delays_nobody(waiting: list[Claim], last: Claim) -> None:
    """Whatever is submitted later, the places of those before stay as they are."""
    before = starts(named(waiting), [], MACHINE)
    after = starts(named([*waiting, last]), [], MACHINE)
    assert {key: after[key] for key in before} == before
