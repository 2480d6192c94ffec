"""Where workers run, and why."""

import os
import subprocess
import sys

import pytest

from pangeo_hpc.allocation import Allocation
from pangeo_hpc.dask.place import address_of, announce, choose
from pangeo_hpc.errors import UsageError
from pangeo_hpc.schedulers.base import AllocationFacts


def job(nodes: int, kind: str = "slurm") -> Allocation:
    names = tuple(f"n{number}" for number in range(nodes))
    return Allocation(kind, AllocationFacts(job_id="12", nodes=names))


CHOICES = [
    # asked, batch system, allocation, notebook, where, a word of why
    (None, "slurm", None, False, "jobs", "not a job"),
    (None, "slurm", None, True, "jobs", "not a job"),
    (None, "local", None, False, "local", "no batch system"),
    (None, "slurm", job(3), False, "allocation", "12 on 3 nodes"),
    (None, "slurm", job(3), True, "allocation", "12 on 3 nodes"),
    (None, "slurm", job(1), False, "local", "12 on one node"),
    (None, "slurm", job(1), True, "jobs", "notebook"),
    (None, "local", job(1, "local"), False, "local", "no batch system"),
    (None, "local", job(2), False, "allocation", "2 nodes"),
    ("jobs", "slurm", job(3), False, "jobs", "as asked"),
    ("jobs", "local", None, False, "jobs", "as asked"),
    ("local", "slurm", None, False, "local", "as asked"),
    ("allocation", "slurm", job(1), False, "allocation", "as asked"),
]


@pytest.mark.parametrize(("asked", "kind", "here", "notebook", "where", "why"), CHOICES)
def test_choice(asked, kind, here, notebook, where, why) -> None:
    """Each place has its reason."""
    choice = choose(asked, kind, here, notebook=notebook)
    assert choice.where == where
    assert why in choice.why


def test_no_allocation_to_fill() -> None:
    """Asked for an allocation outside any job, it says so."""
    with pytest.raises(UsageError, match="in no job"):
        choose("allocation", "slurm", None)


def test_no_such_place() -> None:
    """A wrong word is answered with the right ones."""
    with pytest.raises(UsageError, match="jobs, local or allocation"):
        choose("cloud", "slurm", None)  # type: ignore[arg-type]


def test_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """It is told in one line beside the output, or not at all."""
    announce("here", {})
    announce("there", {"PANGEO_HPC_QUIET": "1"})
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "pangeo-hpc: here\n")


def test_address() -> None:
    """It is the address of the interface, of the way to a node, or of the way out."""
    assert address_of("lo") == "127.0.0.1"
    assert address_of(None, towards=["127.0.0.5"]) == "127.0.0.1"
    assert address_of(None, towards=["no.such.host.invalid"]) == address_of(None)


def test_an_interface_that_is_not_here() -> None:
    """A network that the site YAML names and this host lacks is said, with those that it has."""
    with pytest.raises(UsageError, match=r"(?s)no network interface ib9 .*hint: it has .*lo"):
        address_of("ib9")


def test_import_is_light() -> None:
    """Naming `start_cluster` loads neither Dask nor the libraries below it."""
    program = (
        "import sys; from pangeo_hpc.dask import start_cluster;"
        "print(sorted({'dask', 'distributed', 'dask_jobqueue', 'tornado', 'cryptography'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.stdout == "[]\n", done.stderr
