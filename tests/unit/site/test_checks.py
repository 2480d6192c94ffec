"""Checks between values, and what they leave alone."""

import re

import pytest

from pangeo_hpc.errors import SiteError
from pangeo_hpc.site import load_site
from pangeo_hpc.site.checks import Finding, concerns
from pangeo_hpc.site.checks.patterns import allows_blanks


@pytest.mark.parametrize(
    "pattern",
    [
        "[a-z]+",
        "[A-Za-z0-9_.:/+-]+",
        r"\w+",
        r"\d{1,3}",
        r"a\.b",
        "(scratch|gdata)/[a-z0-9]+",
        "[.]",
        "[]a]+",
        r"[\w.-]+",
        r"[\]x]+",
    ],
)
def test_patterns_of_named_characters_pass(pattern):
    """They match no blank and no control character, whatever is around it."""
    assert allows_blanks(pattern) is None
    for character in " \n\r\t\0\x0b\u2028\xa0":
        for text in (character, f"a{character}", f"{character}a", f"a{character}a"):
            assert not re.fullmatch(pattern, text)


@pytest.mark.parametrize(
    "pattern",
    [
        ".",
        ".*",
        "a.b",
        "(?s).",
        "[^a]",
        "[^]]",
        r"\S+",
        r"\s",
        r"\W",
        r"\D",
        r"[\s\S]",
        "a b",
        "[a ]",
        "[ -~]",
        "a\tb",
        r"\ ",
        r"\x20",
        r"\u0020",
        r"\12",
        r"a\n",
    ],
)
def test_patterns_that_let_blanks_through_are_seen(pattern):
    """A newline in a value would be a line of the job's header of the user's own."""
    assert allows_blanks(pattern)


def test_a_finding_is_dropped_if_what_it_rests_on_is_broken():
    """A problem is not told twice, and not drawn from a value that nobody wrote."""
    finding = Finding("a.x.walltime", "", needs=("a.x.max_walltime", "b.*"))
    assert concerns(finding, {"a.x.walltime"})
    assert concerns(finding, {"a.x.max_walltime"})
    assert concerns(finding, {"a.x"})
    assert concerns(finding, {"b.y"})
    assert not concerns(finding, {"b.y.z"})
    assert not concerns(finding, {"a.x.cores", "a.xy", "a.x.walltimes"})


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("max_walltime: 1", {"max_walltime"}),
        ("dask: {processes: x, threads: 9}", {"dask.processes"}),
        ("dask: {processes: 4, threads: 9}\n    cores: x", {"cores"}),
        ("cores: 9\n    max_cores: 8\n    memory: x", {"cores", "memory"}),
    ],
)
def test_checks_go_on_beside_what_is_broken(lines, told, tmp_path, environ):
    """What can still be judged is, in the same run; what cannot is left for the next."""
    keys = {line.split(":")[0].strip() for line in lines.splitlines()}
    needed = ("cores: 4", "memory: 1 GiB", 'walltime: "02:00:00"')
    body = "\n    ".join([*(each for each in needed if each.split(":")[0] not in keys), lines])
    path = tmp_path / "site.yaml"
    path.write_text(f"name: a\nscheduler: slurm\nnode_types:\n  n:\n    {body}\n")
    with pytest.raises(SiteError) as caught:
        load_site(path, environ=environ)
    assert {problem.path.removeprefix("node_types.n.") for problem in caught.value.problems} == told


def test_a_third_party_scheduler_is_known_when_it_is_installed(small, environ):
    """Names come from the caller, or from what is installed."""
    small.write_text(small.read_text().replace("scheduler: slurm", "scheduler: lsf"))
    with pytest.raises(SiteError, match="no scheduler of type 'lsf'"):
        load_site(small, environ=environ)
    site = load_site(small, environ=environ, schedulers=("slurm", "lsf"))
    assert site.schedulers["lsf"].type == "lsf"


def test_explicit_dask_shapes_may_use_hardware_threads(tmp_path, environ):
    """cores counts what the scheduler counts; who writes a shape has chosen."""
    shape = "threads_per_core: 2, dask: {processes: 4, threads: 9}"
    node = f'{{cores: 36, memory: 1 GiB, walltime: "01:00:00", {shape}}}'
    path = tmp_path / "site.yaml"
    path.write_text(f"name: a\nscheduler: slurm\nnode_types:\n  n: {node}\n")
    assert load_site(path, environ=environ).node_type().dask.threads == 9
