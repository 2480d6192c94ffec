"""Node types: what one job gets, and how far a user may go."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pangeo_hpc.site.fields import (
    Account,
    Choice,
    Count,
    Flag,
    Line,
    Memory,
    Remark,
    Token,
    Walltime,
    Whole,
    Word,
    WordSet,
)
from pangeo_hpc.site.model.base import EMPTY, Entries, Entry, Lookup, Part

Use = Annotated[Literal["notebook", "dask", "batch"], Choice]
Omitted = Annotated[Literal["queue", "memory", "cores", "walltime", "account"], Choice]
USES: frozenset[Literal["notebook", "dask", "batch"]] = frozenset({"notebook", "dask", "batch"})


def _as_path(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


class LocalDisk(Part):
    """A disk of the node itself, where Dask spills."""

    path: Line = Field(
        description="Where it is on the node; variables of the job are expanded there.",
        examples=["$PBS_JOBFS"],
    )
    size: Memory | None = Field(
        default=None,
        description="How much of it one job asks for, on each node.",
        examples=["100 GiB"],
    )
    directive: Line | None = Field(
        default=None,
        description="Line that asks for it; {total} is the size times the nodes, in MB.",
        examples=["-l jobfs={total}"],
    )


class Option(Entry):
    """A line of the job's header that a user may fill."""

    directive: Line = Field(
        description="The line, with {value} where the user's value goes.",
        examples=["-l storage={value}"],
    )
    pattern: Line = Field(
        description="Regular expression that a value must match whole; no blanks, no newlines.",
        examples=["[a-z0-9/+]+"],
    )
    default: Line | None = Field(
        default=None,
        description="Value if the user gives none; absent = then there is no such line.",
        examples=["scratch/{project}"],
    )
    description: Remark = Field(
        default="",
        description="What the user sees beside it.",
        examples=["Filesystems that the job may use"],
    )


class DaskShape(Part):
    """How one Dask worker job is divided."""

    processes: Whole = Field(description="Worker processes in one job.", examples=[4])
    threads: Whole = Field(description="Threads of each worker process.", examples=[1])


class NodeType(Entry):
    """What one job of this type gets on each node."""

    default: Flag = Field(
        default=False,
        description="The node type of whoever names none; exactly one has it.",
        examples=[True],
    )
    description: Remark = Field(
        default="", description="One line for people.", examples=["Part of a node, for notebooks"]
    )
    scheduler: Word | None = Field(
        default=None,
        description="Which of `schedulers` runs it; absent = the site's default one.",
        examples=["slurm"],
    )
    queue: Token | None = Field(
        default=None, description="Slurm partition or PBS queue.", examples=["shared"]
    )
    qos: Token | None = Field(
        default=None,
        description="Slurm QOS; some sites have these instead of queues.",
        examples=["normal"],
    )
    cores: Whole = Field(
        description="Cores of one job on each node, as the scheduler counts them.", examples=[4]
    )
    memory: Memory = Field(description="Memory of one job on each node.", examples=["16 GiB"])
    max_cores: Whole = Field(
        default_factory=lambda data: data.get("cores"),
        description="The most cores a user may ask for; absent = as many as `cores`, fixed.",
        examples=[32],
    )
    max_memory: Memory = Field(
        default_factory=lambda data: data.get("memory"),
        description="The most memory a user may ask for; absent = as much as `memory`, fixed.",
        examples=["128 GiB"],
    )
    walltime: Walltime = Field(
        description="How long a job may run if the user says nothing.", examples=["04:00:00"]
    )
    max_walltime: Walltime = Field(
        default_factory=lambda data: data.get("walltime"),
        description="The longest time a user may ask for; absent = `walltime`.",
        examples=["12:00:00"],
    )
    max_nodes: Whole = Field(
        default=1, description="The most nodes of one batch job; absent = 1.", examples=[64]
    )
    max_jobs: Whole | None = Field(
        default=None,
        description="The most Dask worker jobs at once; absent = as many as are asked.",
        examples=[100],
    )
    exclusive: Flag = Field(
        default=False, description="Whether a job has its nodes for itself.", examples=[False]
    )
    gpus: Count = Field(default=0, description="GPUs of one job on each node.", examples=[0])
    max_gpus: Count = Field(
        default_factory=lambda data: data.get("gpus"),
        description="The most GPUs a user may ask for; absent = as many as `gpus`, fixed.",
        examples=[4],
    )
    gpu_type: Token | None = Field(
        default=None,
        description="Kind of GPU, where the scheduler wants it named.",
        examples=["a100"],
    )
    account: Account = Field(
        default="optional",
        description=(
            "Whether jobs name an account: required, optional, none, a fixed name, "
            "or a template such as {account}_g."
        ),
        examples=["required"],
    )
    omit: WordSet[Omitted] = Field(
        default=frozenset(),
        description="What we know but do not send to the scheduler.",
        examples=[["memory"]],
    )
    threads_per_core: Whole = Field(
        default=1,
        description="Hardware threads of a core, where `cores` counts threads; Dask divides by it.",
        examples=[2],
    )
    constraint: Line | None = Field(
        default=None, description="Slurm feature that the nodes must have.", examples=["cpu"]
    )
    resources: Lookup[Token] = Field(
        default=EMPTY,
        description="PBS resources that go into the select chunk.",
        examples=[{"cpu_type": "milan"}],
    )
    interface: Token | None = Field(
        default=None,
        description="Network interface for Dask; absent = chosen by what workers can reach.",
        examples=["ib0"],
    )
    local_disk: Annotated[LocalDisk, BeforeValidator(_as_path)] | None = Field(
        default=None,
        description="Disk of the node for Dask to spill to: a path, or path, size and directive.",
        examples=["$TMPDIR"],
    )
    directives: tuple[Line, ...] = Field(
        default=(),
        description="More lines of the job's header, without #SBATCH or #PBS.",
        examples=[["-l wd"]],
    )
    options: Entries[Option] = Field(
        default=EMPTY,
        description="Lines of the job's header that a user may fill.",
        examples=[{"storage": {"directive": "-l storage={value}", "pattern": "[a-z0-9/+]+"}}],
    )
    setup: tuple[Line, ...] = Field(
        default=(),
        description="Shell lines of the site, run first in each job.",
        examples=[["module load gcc"]],
    )
    dask: DaskShape | None = Field(
        default=None,
        description="How a Dask worker job is divided; absent = chosen from cores and memory.",
        examples=[{"processes": 4, "threads": 1}],
    )
    uses: WordSet[Use] = Field(
        default=USES,
        description="What it is for: notebook, dask, batch; absent = all of them.",
        examples=[["notebook", "dask", "batch"]],
    )
