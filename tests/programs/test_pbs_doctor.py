"""Doctor on PBS, through programs that keep state, run jobs, refuse and lie.

They prove that its questions and PBS's answers fit together, from the facts to the findings; what
a real node shows is proved on the real Slurm of tests/cluster.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from pangeo_hpc.doctor import checks
from pangeo_hpc.doctor.finding import Finding, Severity
from pangeo_hpc.doctor.gather import Choices, gather
from pangeo_hpc.site import current_person, load_site
from tests.programs.pbs_programs import install, tell

SITE = """\
name: beta
scheduler: pbs
schedulers: {{pbs: {{bin: {bin}}}}}
user_state: '{folder}/state/{{user}}'
node_types:
  short:
    queue: short
    cores: 1
    memory: 100 MiB
    walltime: "00:10:00"
    max_walltime: "{longest}"
  routed:
    queue: main
    default: true
    cores: 1
    memory: 100 MiB
    walltime: "{longest}"
scratch:
  scratch: {{path: '{folder}/scratch/{{user}}'}}
hub: {{url: 'https://h.example', connect_url: 'http://h.example', service_user: hubby}}
"""

Doctor = Callable[..., list[Finding]]


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """Return what examines a site whose PBS was told something."""
    programs = install(tmp_path / "pbs")

    def examine(*, longest: str = "01:00:00", jobs: bool = True, **told: object) -> list[Finding]:
        tell(programs, **told)
        path = tmp_path / "beta.yaml"
        path.write_text(SITE.format(bin=programs, folder=tmp_path, longest=longest))
        environ = {"HOME": str(tmp_path), "PATH": ""}
        site, person = load_site(path, environ=environ), current_person(environ)
        choices = Choices(canaries=jobs, timeout=3)
        return checks.judge(gather(site, person, choices, say=lambda _: None))

    return examine


def bad(found: list[Finding]) -> list[Finding]:
    return [each for each in found if each.severity in (Severity.PROBLEM, Severity.WARNING)]


def test_a_pbs_that_is_fine(doctor: Doctor) -> None:
    """A job runs through each node type, also through a queue that leads to others."""
    found = doctor()
    assert bad(found) == []
    texts = [finding.text for finding in found]
    assert "pbs 23.06.06 is newer than what was tested (23.06)" not in texts
    assert "pbs 23.06.06 answers" in texts
    assert sum("ran on" in text for text in texts) == 2
    assert "pbs remembers ended jobs" in texts


def test_limits_of_pbs_queues(doctor: Doctor) -> None:
    """A queue's own limit counts, and behind a routing queue the widest."""
    found = bad(doctor(longest="20:00:00", jobs=False))
    assert [finding.remedy for finding in found] == [
        "lower node_types.short.max_walltime to 01:00:00"
    ]
    both = bad(doctor(longest="30:00:00", jobs=False))
    assert both[1].remedy == "lower node_types.routed.walltime to 24:00:00"


def test_history_is_off(doctor: Doctor) -> None:
    """PBS's default is a warning, and canaries are understood all the same."""
    [off] = bad(doctor(history=False))
    assert off.remedy == 'qmgr -c "set server job_history_enable = True"'


def test_private_jobs(doctor: Doctor) -> None:
    """The hub's user needs to be an operator."""
    [wrong] = bad(doctor(private=True, jobs=False))
    assert wrong.remedy == 'qmgr -c "set server operators += hubby@*"'
    assert wrong.path == "hub.service_user"


def test_a_server_that_starts_nothing(doctor: Doctor) -> None:
    """Canaries that wait though nodes are free are problems, and are deleted."""
    found = bad(doctor(paused=True))
    assert {finding.check for finding in found} == {"canary"}
    assert all("though nodes are free" in finding.text for finding in found)


def test_a_server_that_is_down(doctor: Doctor) -> None:
    """It is one problem."""
    [down] = bad(doctor(down=["qstat", "qsub", "qselect", "pbsnodes"]))
    assert down.check == "scheduler"
    assert "Connection refused" in down.text
