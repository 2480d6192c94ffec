"""The table in which ours stands beside others."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line; None is what did not happen within the limit."""

    words: str
    ours: float | None
    stock: float | None
    unit: str = ""

    def text(self, limit: float) -> str:
        """Return the line, with the ratio of stock to ours."""
        cells = [self.cell(each, limit) for each in (self.ours, self.stock)]
        return f"{self.words:52}{cells[0]:>14}{cells[1]:>22}{self.ratio(limit):>10}"

    def cell(self, figure: float | None, limit: float) -> str:
        """Return a figure in its unit."""
        if figure is None:
            return f"not in {limit:.0f} s"
        return f"{figure:.1f} s" if self.unit == "s" else f"{figure:.0f}"

    def ratio(self, limit: float) -> str:
        """Return stock to ours, where that is a number."""
        if not self.ours:
            return "-"
        ratio = (limit if self.stock is None else self.stock) / self.ours
        digits = 0 if ratio >= 10 else 1 if ratio >= 1 else 2
        return f"{'> ' if self.stock is None else ''}{ratio:.{digits}f}"


def table(rows: Iterable[Row], other: str, limit: float) -> str:
    """Return the table under its headings; `other` is the name and version of what is stock."""
    head = f"{'':52}{'pangeo-hpc':>14}{other:>22}{'ratio':>10}"
    return "\n".join([head, *(row.text(limit) for row in rows)])
