"""What can be set about the queue."""

from collections.abc import Mapping
from dataclasses import dataclass

from pangeo_hpc.errors import UsageError
from pangeo_hpc.machine import Machine, this_machine
from pangeo_hpc.units import parse_duration, parse_memory

PREFIX = "PANGEO_LOCALQUEUE_"


@dataclass(frozen=True)
class Settings:
    """Times in seconds, and the size of the machine where it shall not be measured.

    `idle` is how long the daemon stays without work, `kill_wait` the time between SIGTERM and
    SIGKILL, `keep` how long ended jobs are remembered, `sample` how often memory is looked at.
    """

    idle: float = 60.0
    kill_wait: float = 5.0
    keep: float = 14 * 86400.0
    sample: float = 0.5
    total_cores: int | None = None
    total_memory: int | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Settings":
        """Read ``PANGEO_LOCALQUEUE_IDLE``, ``_KILL_WAIT``, ``_KEEP``, ``_TOTAL_CORES`` and so on.

        Raise UsageError, naming the variable, for a value that means nothing.
        """
        found: dict[str, float] = {}
        for name in ("idle", "kill_wait", "keep", "sample", "total_cores", "total_memory"):
            variable = PREFIX + name.upper()
            if variable in environ:
                found[name] = _number(variable, environ[variable])
        cores, memory = found.pop("total_cores", None), found.pop("total_memory", None)
        return cls(
            total_cores=None if cores is None else int(cores),
            total_memory=None if memory is None else int(memory),
            **found,
        )

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that hold these settings, to be passed to our own programs."""
        names = ("IDLE", "KILL_WAIT", "KEEP", "SAMPLE", "TOTAL_CORES", "TOTAL_MEMORY")
        return {PREFIX + n: environ[PREFIX + n] for n in names if PREFIX + n in environ}

    def capacity(self) -> Machine:
        """Return how much may be in use at once: what is set, else what we may use."""
        if self.total_cores and self.total_memory:
            return Machine(self.total_cores, self.total_memory)
        here = this_machine()
        return Machine(self.total_cores or here.cores, self.total_memory or here.memory)


def _number(variable: str, text: str) -> float:
    try:
        if variable.endswith("_CORES"):
            number = float(int(text))
        elif variable.endswith("_MEMORY"):
            number = float(parse_memory(text))
        else:
            number = parse_duration(text).total_seconds()
        if number < 0 or (number == 0 and "TOTAL" in variable):
            raise ValueError(f"{text!r} is too small")
    except ValueError as error:
        message = f"{variable}: {error}"
        hint = "unset it, or write a duration such as 5 seconds, cores as 4, memory as 8 GiB"
        raise UsageError(message, hint=hint) from None
    return number
