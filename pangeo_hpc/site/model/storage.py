"""Where data lies: scratch filesystems, homes, and what happens to old files."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from pangeo_hpc.site.fields import (
    Choice,
    Count,
    Duration,
    FixedPath,
    Flag,
    Line,
    Memory,
    Share,
    Token,
    UserPath,
    Whole,
)
from pangeo_hpc.site.model.base import Entry, Part

AgeBy = Annotated[Literal["newest", "atime", "mtime", "ctime"], Choice]
Enforcer = Annotated[Literal["pangeo-hpc", "site"], Choice]
Dataset = Annotated[Literal["zarr"], Choice]


def _grace(data: dict[str, Any]) -> timedelta:
    """Return no grace where the centre purges: it gives none on our word."""
    return timedelta(days=0 if data.get("enforced_by") == "site" else 7)


class Purge(Part):
    """When old files go."""

    after: Duration = Field(description="Age at which a file may be purged.", examples=["60 days"])
    by: AgeBy = Field(
        default="newest",
        description="Which time of a file is its age: the newest of all, or one of them.",
        examples=["newest"],
    )
    enforced_by: Enforcer = Field(
        default="pangeo-hpc",
        description="Who purges: pangeo-hpc, or site where the centre does and we only tell.",
        examples=["pangeo-hpc"],
    )
    grace: Duration = Field(
        default_factory=_grace,
        description="How long it stays after that; absent = 7 days, none where the site purges.",
        examples=["7 days"],
    )


class Pins(Part):
    """How users may keep data for longer."""

    times: Count = Field(
        default=2, description="How often one dataset may be pinned.", examples=[2]
    )
    by: Duration = Field(
        default=timedelta(days=30), description="How long a pin keeps it.", examples=["30 days"]
    )


class Notify(Part):
    """Mail to the owners of data that will be purged."""

    days: tuple[Whole, ...] = Field(
        default=(14, 7, 1),
        description="So many days before the purge, largest first.",
        examples=[[14, 7, 1]],
    )
    from_: Line = Field(
        alias="from", description="Sender of the mails.", examples=["hpc@alpha.example"]
    )
    smtp: Token = Field(default="localhost", description="Mail server.", examples=["localhost"])


class ScratchFilesystem(Entry):
    """A filesystem for data that do not stay."""

    root: FixedPath | None = Field(
        default=None,
        description="What administrators scan; absent = nothing is scanned.",
        examples=["/scratch"],
    )
    path: UserPath = Field(
        description=(
            "What a user gets; PANGEO_SCRATCH in notebooks, jobs and workers. It may begin with a "
            "variable of the user's session, such as $SCRATCH."
        ),
        examples=["/scratch/{user}"],
    )
    purge: Purge | None = Field(
        default=None,
        description="When old files go; absent = never.",
        examples=[{"after": "60 days"}],
    )
    pins: Pins = Field(
        default=Pins(),
        description="How often and for how long users may pin their data.",
        examples=[{"times": 2, "by": "30 days"}],
    )
    quarantine: Duration = Field(
        default=timedelta(days=7),
        description="How long purged data can be restored; 0 deletes at once.",
        examples=["7 days"],
    )
    exempt: tuple[Line, ...] = Field(
        default=(),
        description="Patterns of what is never purged.",
        examples=[["/scratch/shared/**"]],
    )
    max_share: Share = Field(
        default=0.25,
        description="The most of one user's data in a single purge; beyond it, a purge asks.",
        examples=["25 %"],
    )
    datasets: tuple[Dataset, ...] = Field(
        default=("zarr",),
        description="Directory trees that live or die as one.",
        examples=[["zarr"]],
    )
    notify: Notify | None = Field(
        default=None,
        description="Mail to owners before a purge; absent = no mail.",
        examples=[{"from": "hpc@alpha.example"}],
    )
    default: Flag = Field(
        default=False,
        description="The filesystem of PANGEO_SCRATCH; exactly one has it.",
        examples=[True],
    )


class Home(Part):
    """Users' home directories."""

    path: UserPath = Field(
        description="Home of a user on the compute nodes.", examples=["/home/{user}"]
    )
    quota: Memory | None = Field(
        default=None, description="How much a user may keep there.", examples=["10 GiB"]
    )
