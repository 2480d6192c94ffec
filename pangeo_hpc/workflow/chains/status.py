"""How far a chain is: a row for each of its runs, as a table or as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pangeo_hpc.errors import Exit
from pangeo_hpc.schedulers.base import JobState, JobStatus

_COLUMNS = ("step", "item", "run", "state", "job", "reason")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One run of a chain; `state` is None if it was not submitted."""

    step: str
    run: str
    item: str | None = None
    state: JobState | None = None
    job: str | None = None
    attempt: int | None = None
    exit_code: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class ChainStatus:
    """The runs of a chain in the order of its steps. As text it is a table."""

    name: str
    rows: tuple[Row, ...]

    @property
    def complete(self) -> bool:
        """Tell whether every run succeeded."""
        return all(row.state is JobState.COMPLETED for row in self.rows)

    @property
    def ended(self) -> bool:
        """Tell whether nothing of the chain waits or runs."""
        return all(row.state is None or row.state.ended for row in self.rows)

    @property
    def failed(self) -> tuple[Row, ...]:
        """Return the runs that ended otherwise than well."""
        return tuple(r for r in self.rows if r.state not in (None, JobState.COMPLETED) and _over(r))

    def as_dict(self) -> dict[str, Any]:
        """Return the same as JSON-able values."""
        return {
            "format": 1,
            "chain": self.name,
            "complete": self.complete,
            "ended": self.ended,
            "runs": [asdict(row) | {"state": row.state and str(row.state)} for row in self.rows],
        }

    def __str__(self) -> str:
        return table(_COLUMNS, [[getattr(row, name) for name in _COLUMNS] for row in self.rows])

    def summary(self) -> str:
        """Return one line: how many runs are in which state."""
        counts: dict[str, int] = {}
        for row in self.rows:
            word = str(row.state or "not submitted")
            counts[word] = counts.get(word, 0) + 1
        return ", ".join(f"{count} {word}" for word, count in counts.items())


def _over(row: Row) -> bool:
    return row.state is not None and row.state.ended


def row_of(step: str, run: str, item: str | None, status: JobStatus | None, **more: Any) -> Row:
    """Return the row of a run whose status is known, or that was not submitted."""
    if status is None:
        return Row(step=step, run=run, item=item)
    reason = status.reason or None
    if status.exit_code == Exit.RUN_AGAIN and status.state.ended:
        reason = "stopped in time, and goes on when it is submitted again"
    return Row(
        step=step,
        run=run,
        item=item,
        state=status.state,
        exit_code=status.exit_code,
        reason=reason,
        **more,
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return plain columns, with a heading; what is None is a dash."""
    text = [[name.upper() for name in columns]]
    text += [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in text) for i in range(len(columns))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in text]
    return "\n".join(line.rstrip() for line in lines)
