"""A lab is submitted once, its token goes by a private file, and who asks again finds it."""

import threading
from pathlib import Path

import pytest

from pangeo_hpc.errors import JobFailed, RequestRefused, SchedulerError, SubmitRefused, UsageError
from pangeo_hpc.lab import folder, launch
from pangeo_hpc.lab.stop import stop
from pangeo_hpc.run import Command, Result
from pangeo_hpc.site import Person, Site
from tests.unit.lab.conftest import Queue, wanted


def everything(start: folder.Start) -> dict[str, str]:
    """Return the text of every file of a start."""
    return {path.name: path.read_text() for path in start.path.rglob("*") if path.is_file()}


def test_the_job(site: Site, person: Person) -> None:
    """One node, the site's limits and lines; the program is told a folder and no more."""
    script = launch.preview(site, person, wanted(cores="4", options={"reservation": "school"}))
    lines = script.splitlines()
    assert "#SBATCH --partition=shared" in lines
    assert "#SBATCH --cpus-per-task=4" in lines
    assert "#SBATCH --reservation=school" in lines
    assert "export PANGEO_SCRATCH=/scratch/alice" in lines
    place = site.user_state_path(person) / "labs" / "alpha" / "lab" / "0001"
    assert any(line.endswith(f"-P -m pangeo_hpc.lab.job {place} &") for line in lines)
    assert not place.parent.exists()


def test_what_is_written(site: Site, person: Person, queue: Queue) -> None:
    """The token is in one private file, and nowhere else."""
    start, new = launch.launch(site, person, wanted(), runner=queue)
    assert new
    assert start.job.id == "1"
    token = start.token()
    assert len(token) >= 43
    found = everything(start)
    assert [name for name, text in found.items() if token in text] == [start.order.token]
    assert all(token not in " ".join(command.argv) for command in queue.commands)
    private = start.path / start.order.token
    assert private.stat().st_mode & 0o777 == 0o600
    assert start.path.stat().st_mode & 0o777 == start.path.parent.stat().st_mode & 0o777 == 0o700
    order = start.order
    assert (order.interface, order.ports, order.loopback) == ("ib0", (30000, 30999), False)
    assert order.setup == ("module use /apps",)
    assert order.environment == "current"


def test_asked_again_it_is_the_same(site: Site, person: Person, queue: Queue) -> None:
    """Also with the words it was asked for with; another name is another lab."""
    first, _ = launch.launch(site, person, wanted(cores=4), runner=queue)
    for again in (wanted(), wanted(cores="4"), wanted(node_type="shared", environment="current")):
        assert launch.launch(site, person, again, runner=queue) == (first, False)
    assert queue.submitted() == 1
    second, new = launch.launch(site, person, wanted("two"), runner=queue)
    assert new and second.token() != first.token()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"cores": "4"}, "cores 2 instead of 4"),
        ({"memory": "8 GiB"}, "memory 4 GiB instead of 8 GiB"),
        ({"walltime": "02:00:00"}, "walltime 01:00:00 instead of 02:00:00"),
        ({"node_type": "other"}, "node type shared instead of other"),
        ({"account": "climate"}, "account none instead of climate"),
        ({"options": {"reservation": "x"}}, "options none instead of reservation=x"),
    ],
    ids=str,
)
def test_another_request_is_refused(
    site: Site, person: Person, queue: Queue, asked: dict[str, object], says: str
) -> None:
    """What runs stays as it is; the way out is to stop it, or another name."""
    launch.launch(site, person, wanted(), runner=queue)
    with pytest.raises(UsageError, match=rf"(?s){says}.*lab stop.*--name"):
        launch.launch(site, person, wanted(**asked), runner=queue)
    assert queue.submitted() == 1


def test_two_at_once_are_one(site: Site, person: Person, queue: Queue) -> None:
    """Whoever comes second waits for the first, and finds its job."""
    found: list[tuple[folder.Start, bool]] = []

    def go() -> None:
        found.append(launch.launch(site, person, wanted(), runner=queue))

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queue.submitted() == 1
    assert len({start.path for start, _ in found}) == 1
    assert sorted(new for _, new in found) == [False, False, False, True]


def test_one_that_ended_is_started_anew(site: Site, person: Person, queue: Queue) -> None:
    """With a token of its own; the old one is gone, and of old folders only the last stays."""
    starts = []
    for _ in range(3):
        starts.append(launch.launch(site, person, wanted(), runner=queue)[0])
        queue.jobs.update(dict.fromkeys(queue.jobs, "TIMEOUT"))
    assert [start.path.exists() for start in starts] == [False, True, True]
    with pytest.raises(JobFailed, match="has ended"):
        starts[1].token()
    assert starts[2].token()


def test_after_a_refusal_no_secret_is_left(site: Site, person: Person, queue: Queue) -> None:
    """Slurm's own words reach the user; the token is removed."""
    queue.refuses = "Invalid account"
    with pytest.raises(SubmitRefused, match="Invalid account"):
        launch.launch(site, person, wanted(), runner=queue)
    left = site.user_state_path(person).rglob("token-*")
    assert list(left) == []


def test_outside_the_limits_nothing_is_written(site: Site, person: Person, queue: Queue) -> None:
    """Every reason at once; a node type that is not for notebooks is one."""
    with pytest.raises(RequestRefused, match=r"(?s)cores.*not for notebook jobs"):
        launch.launch(site, person, wanted(node_type="batch", cores=99), runner=queue)
    with pytest.raises(RequestRefused, match="cannot be the name"):
        launch.launch(site, person, wanted("../up"), runner=queue)
    assert queue.commands == []
    assert not site.user_state_path(person).exists()


def test_stop(site: Site, person: Person, queue: Queue) -> None:
    """The job is cancelled, nothing of the lab is left, and a second time there is nothing."""
    start, _ = launch.launch(site, person, wanted(), runner=queue)
    lab = folder.find(site, person, "lab")
    status, was_there = stop(site, person, lab, start, runner=queue)
    assert (str(status.state), was_there) == ("cancelled", True)
    assert not start.path.exists()
    assert folder.every(site, person) == []


def test_a_stop_that_fails_forgets_nothing(site: Site, person: Person, queue: Queue) -> None:
    """While the job may live, its lab can be found again."""
    start, _ = launch.launch(site, person, wanted(), runner=queue)

    def stubborn(command: Command) -> Result:
        if Path(command.argv[0]).name == "scancel":
            return Result(command.argv, 0)
        return queue(command)

    lab = folder.find(site, person, "lab")
    with pytest.raises(SchedulerError, match="still there"):
        stop(site, person, lab, start, patience=0.1, runner=stubborn)
    assert start.token()
