"""A problem, and the values it was drawn from."""

from collections.abc import Collection
from dataclasses import dataclass

from pangeo_hpc.errors import Problem


@dataclass(frozen=True)
class Finding(Problem):
    """A problem between values; `needs` are the paths it looked at, its own among them.

    A path that ends in ``.*`` stands for which entries there are below it.
    """

    needs: tuple[str, ...] = ()


def concerns(finding: Finding, broken: Collection[str]) -> bool:
    """Tell whether a finding rests on values that could not be read, so that it may be wrong."""
    for need in (finding.path, *finding.needs):
        for path in broken:
            if need == path or need.startswith((f"{path}.", f"{path}[")):
                return True
            if need.endswith(".*") and path.rpartition(".")[0] == need[:-2]:
                return True
    return False
