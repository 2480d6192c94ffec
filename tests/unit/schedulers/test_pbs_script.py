"""What a PBS job script begins with."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pangeo_hpc.errors import RequestRefused
from pangeo_hpc.schedulers.base import JobRequest, SchedulerOptions
from pangeo_hpc.schedulers.pbs import PBS
from pangeo_hpc.schedulers.pbs_script import LONGEST_NAME, job_name
from pangeo_hpc.units import gib

REQUEST = JobRequest(
    name="ndvi-x7k2",
    command=("python", "ndvi.py"),
    cores=36,
    memory=gib(109) + 1023,
    walltime=timedelta(hours=12),
    queue="main",
    account="UABC0001",
    nodes=4,
    output=Path("/glade/u/alice/run/output.log"),
)


def script(job: JobRequest = REQUEST, **options: str) -> list[str]:
    return list(PBS(SchedulerOptions(**options)).directives(job))


def test_select():
    """A request becomes one chunk to a node, each on its own host."""
    assert script() == [
        "#PBS -N ndvi-x7k2",
        "#PBS -q main",
        "#PBS -A UABC0001",
        "#PBS -l select=4:ncpus=36:mem=111616mb",
        "#PBS -l place=scatter",
        "#PBS -l walltime=12:00:00",
        "#PBS -j oe",
        "#PBS -o /glade/u/alice/run/output.log",
        "#PBS -r n",
    ]


def test_everything():
    """GPUs and the site's own resources go into the chunk, its lines come last as they are."""
    request = replace(
        REQUEST,
        nodes=1,
        gpus=2,
        resources={"cpu_type": "milan"},
        exclusive=True,
        requeue=True,
        after=("12.desched1", "13[].desched1"),
        directives=("-l gpu_type=a100", "#PBS -k oed"),
        walltime=timedelta(days=2, seconds=1),
    )
    assert script(request, server="casper-pbs") == [
        "#PBS -N ndvi-x7k2",
        "#PBS -q main@casper-pbs",
        "#PBS -A UABC0001",
        "#PBS -l select=1:ncpus=36:mem=111616mb:ngpus=2:cpu_type=milan",
        "#PBS -l place=scatter:excl",
        "#PBS -l walltime=48:00:01",
        "#PBS -j oe",
        "#PBS -o /glade/u/alice/run/output.log",
        "#PBS -W depend=afterok:12.desched1:13[].desched1",
        "#PBS -r y",
        "#PBS -l gpu_type=a100",
        "#PBS -k oed",
    ]


def test_jobs_that_follow_failures():
    """One list of dependencies; the server deletes a job that waits in vain."""
    request = replace(REQUEST, after=("12.desched1",), after_failure=("13.desched1", "14.desched1"))
    line = "#PBS -W depend=afterok:12.desched1,afternotok:13.desched1:14.desched1"
    assert line in script(request)
    request = replace(REQUEST, after=("12.desched1",), after_end=("15.desched1",))
    assert "#PBS -W depend=afterok:12.desched1,afterany:15.desched1" in script(request)
    for name in ("after_failure", "after_end"):
        with pytest.raises(RequestRefused, match=rf"{name}\.0"):
            script(replace(REQUEST, **{name: ("13,beforeok:7",)}))


def test_totals():
    """A site without select gets sums over all nodes; place would be refused beside them."""
    request = replace(
        REQUEST, gpus=1, exclusive=True, directives=("-l wd", "-l storage=scratch/ab1")
    )
    assert script(request, request="totals", account_option="-P") == [
        "#PBS -N ndvi-x7k2",
        "#PBS -q main",
        "#PBS -P UABC0001",
        "#PBS -l ncpus=144,mem=446464mb,ngpus=4",
        "#PBS -l walltime=12:00:00",
        "#PBS -j oe",
        "#PBS -o /glade/u/alice/run/output.log",
        "#PBS -r n",
        "#PBS -l wd",
        "#PBS -l storage=scratch/ab1",
    ]


def test_omit():
    """What a site leaves out is not written, and the rest is still a valid request."""
    every = frozenset({"queue", "memory", "cores", "walltime", "account"})
    lines = ["#PBS -N ndvi-x7k2", "#PBS -l select=4", "#PBS -l place=scatter"]
    tail = ["#PBS -j oe", "#PBS -o /glade/u/alice/run/output.log", "#PBS -r n"]
    assert script(replace(REQUEST, omit=every)) == lines + tail
    assert script(replace(REQUEST, omit=every), request="totals") == [lines[0], *tail]


def test_arrays():
    """An array has an index in its output, and no -r; PBS refuses an array of one."""
    lines = script(replace(REQUEST, array=8))
    assert "#PBS -J 0-7" in lines
    assert "#PBS -o /glade/u/alice/run/output.log.^array_index^" in lines
    assert not any(line.startswith("#PBS -r") for line in lines)
    neutral = replace(REQUEST, output=Path("/x/{id}-{index}.log"))
    assert "#PBS -o /x/ndvi-x7k2-^array_index^.log" in script(replace(neutral, array=2))
    assert "#PBS -o /x/ndvi-x7k2-0.log" in script(replace(neutral, array=1))
    assert not any("-J" in line for line in script(replace(neutral, array=1)))


def test_no_environment():
    """Neither -v nor -V: the first corrupts values, and all users can read them."""
    lines = script(replace(REQUEST, environment={"TOKEN": "secret"}))
    assert not any(" -v" in line or " -V" in line or "secret" in line for line in lines)


def test_output():
    """Without a path PBS chooses one; a path with a blank is quoted."""
    assert [line for line in script(replace(REQUEST, output=None)) if "-o" in line] == []
    blank = replace(REQUEST, output=Path("/work/out dir/x.log"))
    assert '#PBS -o "/work/out dir/x.log"' in script(blank)


def test_little_memory():
    """Memory below one mb is still asked for: no request means the queue's maximum."""
    assert "mem=1mb" in "".join(script(replace(REQUEST, memory=1)))
    assert "mem" not in "".join(script(replace(REQUEST, memory=None)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ndvi-x7k2", "ndvi-x7k2"),
        ("a.b-c_d+e-x7k2", "a.b-c_d+e-x7k2"),
        ("9starts-x7k2", "9starts-x7k2"),
        ("sea ice/°C [1]-x7k2", "sea_ice_C_1_-x7k2"),
        ('p@x,a=b"c|d\\e-x7k2', "p_x_a_b_c_d_e-x7k2"),
        ("zürich-x7k2", "z_rich-x7k2"),
        ("", "job"),
    ],
)
def test_names(name, expected):
    """Characters that qsub refuses are replaced, the nonce at the end stays."""
    assert job_name(name) == expected


def test_long_names():
    """A name is cut in front of its nonce, at what was seen to be accepted."""
    assert job_name("n" * 300 + "-x7k2") == "n" * (LONGEST_NAME - 5) + "-x7k2"
    assert len(job_name("a-" + "n" * 300)) == LONGEST_NAME
    assert job_name("n" * 230) == "n" * 230


def test_odd_values_are_refused_together():
    """Values that would end a word or a line are refused, all at once, with their names."""
    odd = replace(
        REQUEST,
        queue="a b",
        account="x\ny",
        resources={"cpu_type": "a:mem=1tb"},
        after=("1;2 3",),
        directives=("-l wd\nrm -rf /",),
        output=Path('/work/"x'),
    )
    with pytest.raises(RequestRefused) as caught:
        script(odd)
    assert [problem.path for problem in caught.value.problems] == [
        "queue",
        "account",
        "resources.cpu_type",
        "after.0",
        "output",
        "directives.0",
    ]
    assert all(problem.hint for problem in caught.value.problems)
