"""What a Slurm job script begins with."""

import shlex
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pangeo_hpc.errors import RequestRefused
from pangeo_hpc.schedulers.base import JobRequest, SchedulerOptions
from pangeo_hpc.schedulers.slurm import Slurm
from pangeo_hpc.schedulers.slurm_hosts import expand_hosts, expand_ids
from pangeo_hpc.schedulers.slurm_script import LONGEST_NAME, directives, job_name
from pangeo_hpc.units import MIB, gib

PLAIN = JobRequest(name="ndvi-x7k2", command=("true",), cores=4, walltime=timedelta(hours=2))


def lines(**changes: object) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in directives(replace(PLAIN, **changes))]


def test_a_small_request():
    """Nothing is told that was not asked for; one task per node is the job's to divide."""
    assert directives(PLAIN) == (
        "#SBATCH --job-name=ndvi-x7k2",
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --time=02:00:00",
        "#SBATCH --no-requeue",
    )


def test_a_full_request():
    """Every field has its line, the site's come last and as they are."""
    assert lines(
        nodes=3,
        memory=gib(16) + 5,
        gpus=2,
        gpu_type="a100",
        queue="regular",
        qos="premium",
        account="m1234_g",
        constraint="gpu&hbm80g",
        exclusive=True,
        requeue=True,
        after=("12", "13_4"),
        array=100,
        walltime=timedelta(days=2, seconds=1),
        output=Path("/scratch/alice/log-{id}_{index}.out"),
        directives=("--reservation=maintenance week", "#SBATCH --comment=x"),
        resources={"cpu_type": "milan"},
    ) == [
        "--job-name=ndvi-x7k2",
        "--partition=regular",
        "--qos=premium",
        "--account=m1234_g",
        '--constraint="gpu&hbm80g"',
        "--nodes=3",
        "--ntasks-per-node=1",
        "--cpus-per-task=4",
        "--mem=16384M",
        "--gres=gpu:a100:2",
        "--time=48:00:01",
        "--exclusive",
        "--requeue",
        "--dependency=afterok:12:13_4",
        "--kill-on-invalid-dep=yes",
        "--array=0-99",
        "--output=/scratch/alice/log-%A_%a.out",
        "--open-mode=append",
        "--reservation=maintenance week",
        "--comment=x",
    ]


def test_jobs_that_follow_failures():
    """Such a job waits beside those it wants to succeed, and goes away once it can never start."""
    found = lines(after=("12",), after_failure=("13", "14_2"))
    assert "--dependency=afterok:12,afternotok:13:14_2" in found
    assert "--kill-on-invalid-dep=yes" in found
    assert "--kill-on-invalid-dep=yes" in lines(after=("12",))
    assert not any("kill-on-invalid-dep" in line for line in lines())
    assert "--dependency=afterok:12,afterany:15" in lines(after=("12",), after_end=("15",))
    for name in ("after_failure", "after_end"):
        with pytest.raises(RequestRefused, match=rf"{name}\.0"):
            lines(**{name: ("13 --hold",)})


def test_what_a_site_omits():
    """A site that refuses an option gets a script without it, even without all of them."""
    omit = frozenset({"queue", "memory", "cores", "walltime", "account"})
    assert lines(omit=omit, queue="q", account="a", memory=gib(1)) == [
        "--job-name=ndvi-x7k2",
        "--nodes=1",
        "--ntasks-per-node=1",
        "--no-requeue",
    ]


def test_memory_is_never_zero():
    """--mem=0 would ask for all the memory of a node."""
    assert "--mem=1M" in lines(memory=4096)
    assert "--mem=1M" in lines(memory=2 * MIB - 1)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/work/a.log", "--output=/work/a.log"),
        ("/work/{id}.log", "--output=/work/%j.log"),
        ("/work/{id}-{index}.log", "--output=/work/%j-0.log"),
        ("/work/100%j.log", "--output=/work/100%%j.log"),
        ("/work/my files/#1.log", '--output="/work/my files/#1.log"'),
        ("/work/it's.log", '--output="/work/it\'s.log"'),
        ('/work/a "b".log', "--output='/work/a \"b\".log'"),
        ("/work/$HOME.log", '--output="/work/$HOME.log"'),
    ],
)
def test_output(path, text):
    """A percent sign is doubled, blanks and # are quoted, as was measured on 22.05."""
    assert text in lines(output=Path(path))


def test_an_array_of_one_is_an_array():
    """Its element has an index, like those of larger ones."""
    assert "--array=0-0" in lines(array=1)
    assert "--output=/work/%A.log" in lines(array=1, output=Path("/work/{id}.log"))


@pytest.mark.parametrize(
    "changes",
    [
        {"queue": "a b"},
        {"queue": "a\n#SBATCH --uid=0"},
        {"qos": "x;y"},
        {"account": "$(id)"},
        {"account": ""},
        {"gpu_type": "a100:9"},
        {"gpus": 1, "gpu_type": "a 100"},
        {"after": ("12 13",)},
        {"constraint": "a\\b"},
        {"constraint": "a\nb"},
        {"output": Path("/work/a\\b.log")},
        {"output": Path("/work/a\tb.log")},
        {"output": Path('/work/it\'s "both".log')},
        {"directives": ("--wrap=x\nrm -rf /",)},
    ],
)
def test_values_that_cannot_stand_in_a_script(changes):
    """They are refused by name; nothing is escaped or dropped in silence."""
    with pytest.raises(RequestRefused) as caught:
        lines(**changes)
    (problem,) = caught.value.problems
    assert problem.path.split(".")[0] in changes
    assert problem.hint


def test_all_problems_at_once():
    """Whoever wrote the values sees every one that is wrong."""
    with pytest.raises(RequestRefused) as caught:
        lines(queue="a b", qos="c d", directives=("x\ny",), output=Path("/a\\b"))
    assert len(caught.value.problems) == 4


@given(st.text(min_size=1))
def test_any_name_becomes_one_word(name):
    """squeue and sacct split a name they are asked for at commas; the nonce stays whole."""
    clean = job_name(f"{name}-x7k2")
    assert clean.endswith("-x7k2")
    assert len(clean) <= LONGEST_NAME
    assert shlex.split(clean) == [clean]
    assert "," not in clean


def test_names_that_fit_are_kept():
    """What a person wrote is what squeue shows."""
    assert job_name("clim_1.5-x7k2") == "clim_1.5-x7k2"
    assert len(job_name("n" * 300)) == LONGEST_NAME


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", ()),
        ("c1", ("c1",)),
        ("c[1-3,7]", ("c1", "c2", "c3", "c7")),
        ("c[1-2]x[01-02],login", ("c1x01", "c1x02", "c2x01", "c2x02", "login")),
        ("nid[000098-000101]", ("nid000098", "nid000099", "nid000100", "nid000101")),
        ("n[9-11].site.org,n9.site.org", ("n9.site.org", "n10.site.org", "n11.site.org")),
        ("r1-n[2,4]-ib", ("r1-n2-ib", "r1-n4-ib")),
    ],
)
def test_host_lists(text, hosts):
    """Hosts are written out in order, each once, with the zeros in front."""
    assert expand_hosts(text) == hosts


@pytest.mark.parametrize("text", ["c[1-3", "c1-3]", "c[1-", "c[a-b]", "c1 c2", "c[[1]]", "a,,b"])
def test_what_is_no_host_list(text):
    """A list that was cut off is an error, not other hosts."""
    with pytest.raises(ValueError, match="is not a list of hosts"):
        expand_hosts(text)


@given(st.lists(st.integers(0, 2000), min_size=1, unique=True), st.integers(1, 5))
def test_any_numbers_of_hosts(numbers, width):
    """However many there are, what was put together comes apart again."""
    names = [f"{number:0{width}}" for number in numbers]
    assert expand_hosts(f"n[{','.join(names)}]") == tuple(f"n{name}" for name in names)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("12", ("12",)),
        ("12_3", ("12_3",)),
        ("12_[3]", ("12_3",)),
        ("12_[0-2,7%2]", ("12_0", "12_1", "12_2", "12_7")),
        ("12_[0-6:3]", ("12_0", "12_3", "12_6")),
        ("12_[1,4,...]", ("12_1", "12_4")),
        ("12+1", ("12+1",)),
    ],
)
def test_array_elements(text, ids):
    """Elements that wait are one row in squeue and sacct, and each is a job to us."""
    assert expand_ids(text) == ids


def test_the_header_is_the_schedulers():
    """The class gives the same lines."""
    assert Slurm(SchedulerOptions()).directives(PLAIN) == directives(PLAIN)
