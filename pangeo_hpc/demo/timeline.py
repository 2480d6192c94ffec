"""How long each stage took, from moments told by the front end, the scheduler and the job."""

from collections.abc import Mapping
from datetime import UTC, datetime

# In the order in which they end; a moment nobody told of is skipped, its time goes to the next.
STAGES = {
    "found": "find the data",
    "merged": "merge the months on scratch",
    "submitted": "submit the job",
    "started": "wait in the queue",
    "script": "start the job's Python",
    "dask": "start Dask and its workers",
    "first_unit": "compute and write the first unit",
    "last_unit": "compute and write the other units",
    "ended": "end the job",
    "drawn": "draw the picture",
}


def now() -> datetime:
    """Return this moment, aware and in UTC."""
    return datetime.now(UTC)


class Timeline:
    """The moments at which stages ended, each told once."""

    def __init__(self, began: datetime) -> None:
        self.began = began
        self._moments: dict[str, datetime] = {}

    def reach(self, stage: str, moment: datetime | None = None) -> None:
        """Note the end of a stage, now if no moment is given. An unknown stage is a KeyError."""
        STAGES[stage]
        self._moments.setdefault(stage, moment or now())

    def reached(self, stage: str) -> bool:
        """Tell whether the end of a stage is known."""
        return stage in self._moments

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each stage; none is negative where clocks differ."""
        taken, last = {}, self.began
        for stage in STAGES:
            moment = self._moments.get(stage)
            if moment is None:
                continue
            taken[stage] = round(max(0.0, (moment - last).total_seconds()), 2)
            last = max(last, moment)
        return taken

    def since(self, stage: str, until: str) -> float | None:
        """Return the seconds between the ends of two stages, None if one of them is not known."""
        if stage not in self._moments or until not in self._moments:
            return None
        return round(max(0.0, (self._moments[until] - self._moments[stage]).total_seconds()), 2)


def table(seconds: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return the stages in words with their seconds."""
    return [(STAGES[stage], f"{value:.1f} s") for stage, value in seconds.items()]
