"""What is told of a lab: how to open it, how it failed, and its row in a list."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pangeo_hpc.cli.context import Here
from pangeo_hpc.cli.ending import sentence, tail
from pangeo_hpc.errors import Exit, JobFailed

if TYPE_CHECKING:
    from pangeo_hpc.lab.folder import Server, Start
    from pangeo_hpc.schedulers.base import JobStatus

DEFAULT = "lab"


def tell_ready(our: Here, start: "Start", status: "JobStatus", server: "Server") -> None:
    """Print how a lab is opened: to stdout what is typed and opened, to stderr the rest."""
    from pangeo_hpc.lab import reach

    if our.face.json:
        our.face.data(row_of(our, start, status, token=True))
        return
    left = _left(start, status)
    until = f", {duration(left)} left" if left is not None else ""
    our.face.say(f"lab {start.lab} is ready on {server.node}{until}")
    for environment, reason in server.left_out:
        our.face.say(f"environment {environment} is no kernel there: {reason}")
    ssh = reach.ssh_line(our.site, our.person, start, server)
    if ssh is not None:
        our.face.say("on your own computer, type this and leave it open:")
        our.face.out(ssh)
        if not our.site.login_hosts:
            our.face.say("hint: that is this host's own name; login_hosts of the site sets others")
    our.face.say("in its browser, open:" if ssh else "in your browser, open:")
    our.face.out(reach.url(server, start.token()))
    our.face.say(f"it goes on without this shell; {stop_words(start.lab)} ends it")


def tell_failed(our: Here, start: "Start", status: "JobStatus") -> int:
    """Print how a lab ended before it was ready, and the last lines of its log."""
    job = start.job
    if our.face.json:
        our.face.data(row_of(our, start, status, token=False))
        return Exit.NO
    for line in tail(job.output):
        our.face.say(f"  | {line}")
    our.face.out(sentence(f"lab {start.lab}", job, status))
    if job.output.exists():
        our.face.say(f"hint: all that it printed is in {job.output}")
    return Exit.NO


def row_of(our: Here, start: "Start", status: "JobStatus", *, token: bool) -> dict[str, Any]:
    """Return what is told of one lab; `left` is in seconds, `ssh` and `url` wait for its server."""
    from pangeo_hpc.lab import reach

    job, server = start.job, start.server
    left = _left(start, status)
    row: dict[str, Any] = {
        "lab": start.lab,
        "state": str(status.state),
        "ended": status.state.ended,
        "reason": status.reason or None,
        "job": job.id,
        "node": ", ".join(status.nodes) or None,
        "node_type": job.request["node_type"],
        "environment": start.order.environment,
        "left": None if left is None else int(left.total_seconds()),
        "estimated_start": status.estimated_start,
        "output": str(job.output),
        **dict.fromkeys(("address", "port", "ssh", "url", "kernels", "left_out")),
    }
    if server is not None and not status.state.ended:
        secret = None
        if token:
            with suppress(JobFailed):  # it ends just now
                secret = start.token()
        row |= {
            "address": server.address,
            "port": server.port,
            "ssh": reach.ssh_line(our.site, our.person, start, server),
            "url": reach.url(server, secret),
            "kernels": list(server.kernels),
            "left_out": dict(server.left_out),
        }
    return row


def _left(start: "Start", status: "JobStatus") -> timedelta | None:
    """Return the walltime left, None unless the job runs."""
    if status.started is None or status.state.ended or status.state.waiting:
        return None
    whole = status.walltime or timedelta(seconds=start.job.request["walltime"])
    return max(status.started + whole - datetime.now(UTC), timedelta(0))


def duration(left: timedelta | int | None) -> str | None:
    """Return a time left as people read it; an int is in seconds."""
    from pangeo_hpc.units import format_walltime

    if left is None:
        return None
    seconds = left if isinstance(left, int) else int(left.total_seconds())
    return format_walltime(timedelta(seconds=seconds))


def start_words(name: str) -> str:
    """Return the command that means this lab."""
    return "pangeo-hpc lab start" + ("" if name == DEFAULT else f" --name {name}")


def stop_words(name: str) -> str:
    """Return the command that ends this lab."""
    return "pangeo-hpc lab stop" + ("" if name == DEFAULT else f" {name}")
