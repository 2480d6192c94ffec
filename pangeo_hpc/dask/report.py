"""What a cluster has cost: core-hours that its units had, and what was done with them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

from pangeo_hpc.dask.accounts import Account
from pangeo_hpc.schedulers.base import JobStatus

_HEAD = ("job", "worker", "state", "queue wait", "core-hours", "busy", "idle", "lost")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Core-hours of one unit, or of all.

    `requested` are those that it had, from its start to its end or to now: they are `busy` with
    work that made something, `lost` with work that was broken off or had to be done again, and else
    `idle`. `wait` is the time in the queue in seconds, None where nobody waited or nobody knows.
    """

    job: str = ""
    worker: str = ""
    state: str = ""
    wait: float | None = None
    requested: float = 0.0
    busy: float = 0.0
    lost: float = 0.0

    @property
    def idle(self) -> float:
        """Return the core-hours in which nothing was computed."""
        return max(0.0, self.requested - self.busy - self.lost)

    def json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "job": self.job,
            "worker": self.worker,
            "state": self.state,
            "queue_wait_seconds": self.wait,
            "core_hours": {
                "requested": self.requested,
                "busy": self.busy,
                "idle": self.idle,
                "lost": self.lost,
            },
        }

    def cells(self) -> tuple[str, ...]:
        """Return the row as text."""
        wait = "" if self.wait is None else _span(self.wait)
        parts = (self._part(hours) for hours in (self.busy, self.idle, self.lost))
        return self.job, self.worker, self.state, wait, _hours(self.requested), *parts

    def _part(self, hours: float) -> str:
        share = f" ({100 * hours / self.requested:.0f} %)" if self.requested > 0 else ""
        return _hours(hours) + share


@dataclass(frozen=True)
class Report:
    """What a cluster has cost, for each unit and in all; it shows itself as a table."""

    cluster: str
    rows: tuple[Cost, ...]

    @property
    def total(self) -> Cost:
        """Return the sums; the wait is the median of those that are known."""
        waits = sorted(row.wait for row in self.rows if row.wait is not None)
        return Cost(
            job="total",
            wait=waits[len(waits) // 2] if waits else None,
            requested=sum(row.requested for row in self.rows),
            busy=sum(row.busy for row in self.rows),
            lost=sum(row.lost for row in self.rows),
        )

    def json(self) -> dict[str, Any]:
        """Return it as JSON has it: core-hours, and seconds in the queue."""
        return {
            "format": 1,
            "cluster": self.cluster,
            "jobs": [row.json() for row in self.rows],
            "total": self.total.json(),
        }

    def line(self) -> str:
        """Return the totals in one line."""
        total, many = self.total, len(self.rows)
        what = "job" if any(row.job for row in self.rows) else "worker program"
        text = f"{many} {what}{'' if many == 1 else 's'} had {_hours(total.requested)} core-hours"
        if total.requested > 0:
            parts = {"busy": total.busy, "idle": total.idle, "lost": total.lost}
            shares = (f"{100 * n / total.requested:.0f} % {word}" for word, n in parts.items())
            text += ": " + ", ".join(shares)
        return text if total.wait is None else f"{text}; {_span(total.wait)} in the queue"

    def __repr__(self) -> str:
        rows = self._table()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    def _repr_html_(self) -> str:
        head, *body = self._table()
        lines = "".join(_line(row, "td") for row in body)
        return f"<table><thead>{_line(head, 'th')}</thead><tbody>{lines}</tbody></table>"

    def _table(self) -> list[tuple[str, ...]]:
        return [_HEAD, *(row.cells() for row in self.rows), self.total.cells()]


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One unit as the batch system, or we, know it; `cores` are what the batch system counts."""

    name: str
    cores: int
    status: JobStatus | None = None
    account: Account | None = None

    def cost(self, now: datetime, cores_per_thread: int) -> Cost:
        """Return what it has cost up to now."""
        began, ended, wait = self._times(now)
        held = max(0.0, (ended - began).total_seconds()) if began and ended else 0.0
        cores = self.status.cores or self.cores if self.status else self.cores
        account = self.account or Account(0.0)
        return Cost(
            job=self.status.id if self.status else "",
            worker=self.name,
            state=str(self.status.state) if self.status else _state(account),
            wait=wait,
            requested=cores * held / 3600,
            busy=cores_per_thread * account.busy / 3600,
            lost=cores_per_thread * account.lost / 3600,
        )

    def _times(self, now: datetime) -> tuple[datetime | None, datetime | None, float | None]:
        """Return its start, its end, and its wait in seconds."""
        status, account = self.status, self.account
        if status is not None and status.started is not None:
            wait = None
            if status.submitted is not None:
                wait = max(0.0, (status.started - status.submitted).total_seconds())
            return status.started, status.ended or now, wait
        if account is None:
            return None, None, None
        ended = now if account.ended is None else datetime.fromtimestamp(account.ended, UTC)
        return datetime.fromtimestamp(account.began, UTC), ended, None


def report_of(
    cluster: str, units: Sequence[Unit], *, cores_per_thread: int = 1, now: datetime | None = None
) -> Report:
    """Return what units have cost."""
    moment = now or datetime.now(UTC)
    return Report(cluster, tuple(unit.cost(moment, cores_per_thread) for unit in units))


def _state(account: Account) -> str:
    return "running" if account.ended is None else "ended"


def _hours(hours: float) -> str:
    return f"{hours:.1f}" if hours >= 10 else f"{hours:.2f}" if hours >= 0.1 else f"{hours:.4f}"


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _line(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
