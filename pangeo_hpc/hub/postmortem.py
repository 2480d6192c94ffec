"""Why a server did not come up: the scheduler's own words, the end of its log, and a way on."""

from typing import TYPE_CHECKING

from jupyterhub.spawner import SpawnException

from pangeo_hpc.errors import PangeoHpcError
from pangeo_hpc.schedulers.base import JobStatus

if TYPE_CHECKING:
    from pangeo_hpc.hub.spawner import SiteSpawner

LINES = 40


def refused(error: PangeoHpcError) -> SpawnException:
    """Return why a job was not taken at all."""
    return SpawnException(str(error), reason=type(error).__name__)


async def ended(spawner: "SiteSpawner", status: JobStatus) -> SpawnException:
    """Return how a job ended before its server was up."""
    words = [f"job {status.id} ended: {status.state}"]
    if status.exit_code is not None:
        words.append(f"exit code {status.exit_code}")
    if status.reason:
        words.append(status.reason)
    return await _with_log(spawner, ", ".join(words), reason=str(status.state))


async def silent(spawner: "SiteSpawner", status: JobStatus) -> SpawnException:
    """Return that a job runs whose server never reported."""
    text = f"job {status.id} runs on {', '.join(status.nodes)}, but its server did not report"
    return await _with_log(spawner, text, reason="silent")


async def _with_log(spawner: "SiteSpawner", text: str, *, reason: str) -> SpawnException:
    state = spawner.server_state
    lines: list[str] = []
    if state is not None:
        try:
            lines, _ = await spawner.office.desk.logs(spawner.user.name, state.name, LINES)
        except PangeoHpcError as error:
            lines = [f"(no log: {error.text})"]
    return SpawnException("\n".join([text, *lines]), reason=reason)
