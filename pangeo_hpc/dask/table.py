"""The worker jobs of a cluster as a table: what `cluster.jobs` returns."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path

from pangeo_hpc.schedulers.base import JobStatus
from pangeo_hpc.units import format_memory

_HEAD = ("job", "worker", "state", "reason", "node", "age", "exit code", "memory peak")


@dataclass(frozen=True, kw_only=True)
class WorkerJobStatus(JobStatus):
    """What is known of one worker job; `worker` is the name of its workers, `log` its output."""

    worker: str = ""
    log: Path | None = None

    @classmethod
    def of(cls, status: JobStatus, worker: str, log: Path) -> "WorkerJobStatus":
        """Return a state with the name and the output of its workers."""
        known = {field.name: getattr(status, field.name) for field in fields(JobStatus)}
        return cls(**known, worker=worker, log=log)

    @property
    def node(self) -> str:
        """Return the nodes it ran on, most often one."""
        return ",".join(self.nodes)

    @property
    def age(self) -> timedelta | None:
        """Return the time since it was submitted, until its end if it has ended."""
        if self.submitted is None:
            return None
        return (self.ended or datetime.now(UTC)) - self.submitted

    @property
    def memory_peak(self) -> int | None:
        """Return the most memory that it used in bytes, None while that is not known."""
        return self.memory_used

    def cells(self) -> tuple[str, ...]:
        """Return the row as text."""
        code = "" if self.exit_code is None else str(self.exit_code)
        memory = "" if self.memory_peak is None else format_memory(self.memory_peak)
        return (
            *(self.id, self.worker, str(self.state), self.reason, self.node),
            *(_age(self.age), code, memory),
        )


class JobsTable(list[WorkerJobStatus]):
    """A list of worker jobs that shows itself as a table."""

    def __init__(self, rows: Iterable[WorkerJobStatus] = ()) -> None:
        super().__init__(rows)

    def __repr__(self) -> str:
        rows = [_HEAD, *(row.cells() for row in self)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    def _repr_html_(self) -> str:
        def line(cells: Iterable[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(line(row.cells(), "td") for row in self)
        return f"<table><thead>{line(_HEAD, 'th')}</thead><tbody>{body}</tbody></table>"


def _age(age: timedelta | None) -> str:
    """Return whole seconds, minutes or hours, whichever says enough."""
    if age is None:
        return ""
    seconds = max(0, int(age.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"
