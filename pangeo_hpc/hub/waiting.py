"""What a person who waits for a server is told, in one line."""

from typing import TYPE_CHECKING, Any

from pangeo_hpc.schedulers.base import JobState, JobStatus

if TYPE_CHECKING:
    from pangeo_hpc.hub.spawner import SiteSpawner


def event(spawner: "SiteSpawner") -> dict[str, Any]:
    """Return the one event that says how far a server is."""
    state = spawner.server_state
    if state is None or not state.job:
        return {"progress": 5, "message": "handing the job to the scheduler"}
    news = spawner.office.poller(state.scheduler).news(state.job)
    if news is None:
        return {"progress": 10, "message": f"job {state.job} is submitted"}
    return {"progress": share(news.status, reported=bool(state.port)), "message": line(news.status)}


def share(status: JobStatus, *, reported: bool) -> int:
    """Return how far a server is, in percent."""
    if status.state.waiting:
        return 20
    return 90 if reported else 60


def line(status: JobStatus) -> str:
    """Return one sentence about a job."""
    where = f" on {', '.join(status.nodes)}" if status.nodes else ""
    why = f": {status.reason}" if status.reason else ""
    if status.state is JobState.RUNNING:
        return f"job {status.id} runs{where}; the server is starting"
    return f"job {status.id} is {status.state}{where}{why}"
