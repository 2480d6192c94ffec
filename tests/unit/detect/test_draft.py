"""A draft from any answers of a machine is a site that loads."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pangeo_hpc.detect import Survey, draft_site
from pangeo_hpc.detect.mounts import Mount, scratch_mounts
from pangeo_hpc.schedulers.base import Account, Node, NodeState, Queue
from pangeo_hpc.site import Person, Site
from pangeo_hpc.site.builtin import Machine
from pangeo_hpc.site.find import Source
from pangeo_hpc.site.load import read_site

GIB = 2**30
ALICE = Person("alice", 1000, 1000, "climate", Path("/home/alice"))


def node(name: str, *queues: str, state: NodeState = NodeState.IDLE, **more) -> Node:
    values = {"cores": 36, "memory": 100 * GIB} | more
    return Node(name=name, queues=queues, state=state, **values)


def survey(**more) -> Survey:
    values = {
        "kind": "slurm",
        "host": "login01.alpha.example",
        "person": ALICE,
        "version": (22, 5, 8),
        "queues": (
            Queue(name="debug", max_walltime=timedelta(minutes=30), max_nodes=1),
            Queue(
                name="regular",
                default=True,
                max_walltime=timedelta(days=2),
                default_walltime=timedelta(hours=4),
            ),
            Queue(name="broken", max_walltime=timedelta(days=1)),
            Queue(name="closed", enabled=False),
        ),
        "nodes": (
            *(node(f"n{i}", "regular", "debug") for i in range(4)),
            node("fat", "regular", cores=64, memory=500 * GIB),
            node("n9", "broken", state=NodeState.DOWN, reason="bad\nfan"),
            node("n8", "closed"),
        ),
        "accounts": (Account(name="abc", qos=("normal", "long")), Account(name="xyz")),
        "mounts": (Mount("/scratch", "/scratch/{user}", "lustre mounted there"),),
    }
    return Survey(**(values | more))


def load(text: str) -> Site:
    site, _, problems = read_site(text, Source("draft", text), schedulers=("slurm", "pbs", "local"))
    assert problems == []
    return site


def test_queues_become_node_types_with_their_limits():
    """The default queue is the default node type; limits are the queue's and its nodes'."""
    site = load(draft_site(survey()))
    assert (site.name, site.scheduler) == ("alpha", "slurm")
    assert list(site.node_types) == ["regular", "debug"]
    regular = site.node_type()
    assert regular.name == regular.queue == "regular"
    assert (regular.cores, regular.max_cores) == (4, 36)
    assert regular.max_memory == 100 * GIB
    assert regular.walltime == timedelta(hours=4)
    assert regular.max_walltime == timedelta(days=2)
    assert regular.max_nodes == 5
    debug = site.node_type("debug")
    assert (debug.walltime, debug.max_nodes) == (timedelta(minutes=30), 1)


def test_what_is_down_stays_as_a_comment_with_the_reason():
    """Taking off the comment marks is all that is needed when it comes back."""
    text = draft_site(survey())
    assert "# broken cannot be used now: all of its nodes are down: bad fan" in text
    assert "# closed cannot be used now: it is down or disabled" in text
    opened = []
    for line in text.splitlines():
        inside = line.startswith("  # ") and not line.startswith(("  # broken c", "  # closed c"))
        opened.append(line.replace("  # ", "  ", 1) if inside else line)
    site = load("\n".join(opened))
    assert list(site.node_types) == ["regular", "debug", "broken", "closed"]


def test_accounts_are_told_and_required_only_without_a_default():
    """Whoever has several and no default one must say which."""
    text = draft_site(survey())
    assert "#   abc; qos normal, long" in text
    assert load(text).node_type().account == "required"
    one = survey(accounts=(Account(name="abc"), Account(name="xyz", default=True)))
    assert load(draft_site(one)).node_type().account == "optional"
    assert load(draft_site(survey(accounts=()))).node_type().account == "optional"


def test_gpus_are_offered_where_nodes_have_them():
    """One is the default, all of a node is the most."""
    nodes = (node("g1", "regular", gpus=4), node("g2", "regular", gpus=4))
    regular = load(draft_site(survey(nodes=nodes))).node_type("regular")
    assert (regular.gpus, regular.max_gpus) == (1, 4)


def test_several_scratch_filesystems_get_one_default():
    """The likeliest is first; what is only a guess is a comment."""
    mounts = (
        Mount("/scratch", "/scratch/{user}", "lustre mounted there"),
        Mount("/data/scratch", "/data/scratch/{user}", "gpfs mounted there"),
        Mount("/lustre/a", "/lustre/a/{user}", "lustre mounted there", likely=False),
    )
    text = draft_site(survey(mounts=mounts))
    site = load(text)
    assert [entry.path for entry in site.scratch.values()] == [
        "/scratch/{user}",
        "/data/scratch/{user}",
    ]
    assert site.scratch_filesystem().path == "/scratch/{user}"
    assert "# perhaps scratch, too: /lustre/a" in text
    assert load(draft_site(survey(mounts=()))).scratch == {}


def test_what_could_not_be_asked_is_said():
    """An administrator sees what is missing, and why."""
    text = draft_site(survey(missing=("accounts could not be asked: no\nslurmdbd",)))
    assert "# Not known: accounts could not be asked: no slurmdbd" in text


def test_a_machine_without_a_scheduler_is_a_local_site():
    """Its own name is not local, which is the built-in one's."""
    site = load(draft_site(survey(kind="local", host="local"), Machine(4, 8 * GIB)))
    assert site.scheduler == "local"
    assert site.node_type().cores == 4
    assert load(draft_site(survey(kind="local", host="pc1"), Machine(4, GIB))).name == "pc1"


def test_a_conda_environment_is_told_but_not_used_unseen():
    """It may lack this package, and then no job would start."""
    text = draft_site(survey(conda=Path("/apps/conda/envs/clim")))
    assert '#   clim: {prefix: "/apps/conda/envs/clim"}' in text
    assert load(text).environments == {}


words = st.text(max_size=12)
times = st.none() | st.integers(1, 10**7).map(lambda number: timedelta(seconds=number))
queues = st.builds(
    Queue,
    name=st.from_regex(r"\w[^\s\"\\]{0,11}", fullmatch=True).filter(str.isprintable),
    enabled=st.booleans(),
    default=st.booleans(),
    max_walltime=times,
    default_walltime=times,
    max_nodes=st.none() | st.integers(1, 9),
    max_cores=st.none() | st.integers(1, 9),
    max_memory=st.none() | st.integers(1, 2**40),
)
nodes = st.builds(
    Node,
    name=words,
    state=st.sampled_from(NodeState),
    queues=st.sampled_from([(), ("a",), ("a", "b")]),
    cores=st.integers(0, 300),
    memory=st.integers(0, 2**42),
    gpus=st.integers(0, 8),
    reason=words,
)


@settings(max_examples=60, deadline=None)
@given(
    queues=st.lists(queues, max_size=4, unique_by=lambda queue: queue.name).map(tuple),
    nodes=st.lists(nodes, max_size=4).map(tuple),
    accounts=st.lists(st.builds(Account, name=words, default=st.booleans())).map(tuple),
    host=words,
    missing=st.lists(words).map(tuple),
)
def test_any_answers_give_a_draft_that_loads(queues, nodes, accounts, host, missing):
    """Odd names, no nodes, no limits: the draft may be poor, never broken."""
    given_ = survey(queues=queues, nodes=nodes, accounts=accounts, host=host, missing=missing)
    assert load(draft_site(given_)).node_types


TABLE = """\
/dev/sda1 / ext4 rw 0 0
10.0.0.1@o2ib:/fs1 /lustre/fs1 lustre rw 0 0
srv:/home /home nfs4 rw 0 0
tank /data/my\\040scratch zfs rw 0 0
fs2 /gpfs/scratch gpfs rw 0 0
fs3 /gpfs/home gpfs rw 0 0
"""


def mounts(environ, existing=(), person=ALICE):
    found = scratch_mounts(TABLE, person, environ, is_directory=lambda path: path in existing)
    return {mount.root: (mount.path, mount.likely) for mount in found}


def test_mounts_that_look_like_scratch_are_found():
    """By name first; a parallel filesystem of another name is only a guess."""
    assert mounts({}) == {
        "/gpfs/scratch": ("/gpfs/scratch/{user}", True),
        "/lustre/fs1": ("/lustre/fs1/{user}", False),
        "/gpfs/home": ("/gpfs/home/{user}", False),
    }


@pytest.mark.parametrize(
    ("place", "root", "path"),
    [
        ("/pscratch/sd/a/alice", "/pscratch/sd", "/pscratch/sd/{user[0]}/{user}"),
        ("/glade/scratch/alice/", "/glade/scratch", "/glade/scratch/{user}"),
        ("/work/climate/alice", "/work", "/work/{group}/{user}"),
    ],
)
def test_the_variable_scratch_is_believed_first(place, root, path):
    """Its template is read off the user's own directory."""
    assert next(iter(mounts({"SCRATCH": place}).items())) == (root, (path, True))


def test_a_variable_that_is_not_the_users_is_left_alone():
    """A shared or strange directory says nothing about others."""
    for place in ("/tmp", "scratch/alice", "/scratch/my dir/alice", ""):
        assert "/tmp" not in mounts({"SCRATCH": place})
        assert len(mounts({"SCRATCH": place})) == 3


def test_the_users_directory_tells_the_layout():
    """Where it is there, its form is the site's."""
    found = mounts({}, existing=("/gpfs/scratch/climate/alice", "/scratch"))
    assert found["/gpfs/scratch"] == ("/gpfs/scratch/{group}/{user}", True)
    assert found["/scratch"] == ("/scratch/{user}", True)
