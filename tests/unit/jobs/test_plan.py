"""A plan holds a request to the site's limits, on the one way in."""

from datetime import timedelta
from pathlib import Path

import pytest

from pangeo_hpc.errors import RequestRefused, UnknownName
from pangeo_hpc.jobs import Ask, plan, with_nonce
from pangeo_hpc.schedulers.base import JobRequest
from pangeo_hpc.site import Person, Site
from pangeo_hpc.units import gib, parse_memory


def planned(site: Site, person: Person, **asked: object) -> JobRequest:
    ask = Ask(**asked)  # type: ignore[arg-type]
    return plan(site, ask, name="ndvi", command=("python", "a b.py"), person=person)


def test_defaults_come_from_the_node_type(site: Site, person: Person) -> None:
    """Who asks for nothing gets what the site says."""
    request = planned(site, person)
    assert (request.cores, request.memory, request.nodes) == (4, gib(8), 1)
    assert request.walltime == timedelta(hours=1)
    assert (request.queue, request.qos, request.constraint) == ("regular", "normal", "cpu")
    assert (request.account, request.scheduler, request.node_type) == ("acc", "slurm", "compute")
    assert request.setup == ("module load gcc",)
    assert request.directives == ("--comment=science", "--lfs=scratch/p1")


def test_text_and_values_mean_the_same(site: Site, person: Person) -> None:
    """A form gives text, Python gives values; one function reads both."""
    text = planned(site, person, cores="8", memory="16 GiB", walltime="02:00:00", nodes="4")
    typed = planned(site, person, cores=8, memory=gib(16), walltime=timedelta(hours=2), nodes=4)
    same = ("cores", "memory", "walltime", "nodes")
    assert [getattr(text, n) for n in same] == [getattr(typed, n) for n in same]


def test_the_name_carries_a_nonce(site: Site, person: Person) -> None:
    """Two plans of the same thing can be told apart in the queue."""
    first, second = planned(site, person).name, planned(site, person).name
    assert first != second
    assert first[:-4] == second[:-4] == "ndvi-"
    assert len({with_nonce("x") for _ in range(200)}) > 190


@pytest.mark.parametrize(
    ("node_type", "given", "charged"),
    [
        ("compute", None, "acc"),
        ("compute", "other", "other"),
        ("gpu", "other", "other_g"),
        ("fixed", None, "lab7"),
        ("free", None, None),
        ("charged", "other", "other"),
    ],
)
def test_accounts(
    site: Site, person: Person, node_type: str, given: str | None, charged: str | None
) -> None:
    """Optional, required, fixed, none, or made from the user's."""
    assert planned(site, person, node_type=node_type, account=given).account == charged


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"nodes": 5}, "nodes"),
        ({"nodes": 0}, "nodes"),
        ({"nodes": "x"}, "nodes"),
        ({"cores": 9}, "cores"),
        ({"cores": 0}, "cores"),
        ({"cores": -1}, "cores"),
        ({"memory": "17 GiB"}, "memory"),
        ({"memory": "12"}, "memory"),
        ({"walltime": "02:00:01"}, "walltime"),
        ({"walltime": timedelta(0)}, "walltime"),
        ({"walltime": "24:00"}, "walltime"),
        ({"cores": 2.5}, "cores"),
        ({"cores": True}, "cores"),
        ({"memory": 1e9}, "memory"),
        ({"walltime": 3600}, "walltime"),
        ({"gpus": 1}, "gpus"),
        ({"node_type": "gpu", "gpus": 5}, "gpus"),
        ({"node_type": "gpu", "cores": 4}, "cores"),
        ({"account": "a b"}, "account"),
        ({"account": "-x"}, "account"),
        ({"node_type": "fixed", "account": "mine"}, "account"),
        ({"node_type": "free", "account": "mine"}, "account"),
        ({"options": {"storage": "a;b"}}, "option storage"),
        ({"options": {"storage": "a\n#SBATCH --uid=0"}}, "option storage"),
        ({"options": {"reservation": "x --uid=0"}}, "option reservation"),
        ({"options": {"prologue": "rm"}}, "option prologue"),
    ],
)
def test_refusals(site: Site, person: Person, asked: dict[str, object], path: str) -> None:
    """Whatever the site does not allow is refused, and the message names it."""
    with pytest.raises(RequestRefused) as caught:
        planned(site, person, **asked)
    assert [problem.path for problem in caught.value.problems] == [path]


def test_all_refusals_at_once(site: Site, person: Person) -> None:
    """One attempt tells everything that is wrong."""
    with pytest.raises(RequestRefused) as caught:
        planned(site, person, nodes=9, cores=99, memory="1 TiB", walltime="9 days")
    assert [p.path for p in caught.value.problems] == ["nodes", "cores", "memory", "walltime"]


def test_a_required_account_is_asked_for(site: Site, tmp_path: Path) -> None:
    """Without an account anywhere, the message says where to put one."""
    nobody = Person("bob", 1002, 1002, "science", tmp_path)
    with pytest.raises(RequestRefused, match=r"user\.yaml"):
        planned(site, nobody, node_type="charged")


def test_an_unknown_node_type_is_guessed(site: Site, person: Person) -> None:
    """A slip gets the name that was meant."""
    with pytest.raises(UnknownName, match="did you mean compute"):
        planned(site, person, node_type="compte")


def test_what_a_node_type_is_not_for(site: Site, person: Person) -> None:
    """A node type for batch jobs takes no notebooks, and others are named."""
    with pytest.raises(RequestRefused, match="compute"):
        plan(site, Ask(node_type="fixed"), name="n", command=("x",), use="notebook", person=person)


@pytest.mark.parametrize("name", ["", "a b", "../x", "-n", "é", "x" * 61, "a\nb", "a;b"])
def test_bad_names(site: Site, person: Person, name: str) -> None:
    """A job's name is one plain word."""
    with pytest.raises(RequestRefused, match="cannot be the name"):
        plan(site, Ask(), name=name, command=("x",), person=person)


@pytest.mark.parametrize("most", ["187 GB", "7000 MiB", "16 GiB"])
def test_what_a_refusal_says_may_be_asked_for(site: Site, person: Person, most: str) -> None:
    """The limit is told exactly: rounded up to 174.2 GiB, the advice itself would be refused."""
    node = site.node_types["compute"].model_copy(update={"max_memory": parse_memory(most)})
    wide = site.model_copy(update={"node_types": {**site.node_types, "compute": node}})
    with pytest.raises(RequestRefused) as caught:
        planned(wide, person, memory="900 GiB")
    [problem] = caught.value.problems
    assert f"({most})" in problem.text
    assert problem.hint == f"ask for {most} or less, or choose a larger node type"
    assert planned(wide, person, memory=most).memory == parse_memory(most)
