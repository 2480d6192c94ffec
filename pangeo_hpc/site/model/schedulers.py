"""How a site's batch systems are reached."""

from typing import Annotated, Literal

from pydantic import Field

from pangeo_hpc.site.fields import Choice, DashOption, FixedPath, Token, Word
from pangeo_hpc.site.model.base import EMPTY, Entry, Variables

RequestForm = Annotated[Literal["select", "totals"], Choice]


class SchedulerEntry(Entry):
    """One batch system and its options."""

    type: Word = Field(
        description="Which batch system it is: slurm, pbs, local, or one that is installed.",
        examples=["slurm"],
    )
    bin: FixedPath | None = Field(
        default=None,
        description="Folder of its commands; absent = they are found on PATH.",
        examples=["/opt/slurm/bin"],
    )
    cluster: Token | None = Field(
        default=None,
        description="Slurm only: the cluster to speak to, where one slurmdbd serves several.",
        examples=["alpha"],
    )
    server: Token | None = Field(
        default=None,
        description="PBS only: the server to speak to; absent = the one of /etc/pbs.conf.",
        examples=["casper-pbs"],
    )
    request: RequestForm = Field(
        default="select",
        description="PBS only: ask by `select` chunks, or by totals where a site has no select.",
        examples=["select"],
    )
    account_option: DashOption = Field(
        default="-A",
        description="PBS only: the option that carries the account: -A, or -P at some sites.",
        examples=["-A"],
    )
    environment: Variables = Field(
        default=EMPTY,
        description="Environment variables that its commands need.",
        examples=[{"SLURM_CONF": "/etc/slurm/slurm.conf"}],
    )
