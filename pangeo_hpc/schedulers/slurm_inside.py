"""Inside a Slurm job: which one it is, and how a command is run on each of its nodes."""

from collections.abc import Mapping, Sequence

from pangeo_hpc.schedulers.base import AllocationFacts
from pangeo_hpc.schedulers.slurm_hosts import expand_hosts
from pangeo_hpc.schedulers.slurm_text import moment
from pangeo_hpc.units import MIB, whole_mib


def allocation(environ: Mapping[str, str]) -> AllocationFacts | None:
    """Return the job this process runs in, or None outside any job.

    22.05 does not tell a job its times, newer ones do; `Slurm.ends` asks.
    """
    number = environ.get("SLURM_JOB_ID", "")
    if not number:
        return None
    job_id, index = number, _number(environ, "SLURM_ARRAY_TASK_ID")
    if index is not None:
        job_id = f"{environ.get('SLURM_ARRAY_JOB_ID', number)}_{index}"
    cores = _number(environ, "SLURM_CPUS_ON_NODE") or _number(environ, "SLURM_CPUS_PER_TASK")
    return AllocationFacts(
        job_id=job_id,
        nodes=_nodes(environ),
        cores=cores,
        memory=_memory(environ, cores),
        started=moment(environ.get("SLURM_JOB_START_TIME", "")),
        ends=moment(environ.get("SLURM_JOB_END_TIME", "")),
        restarts=_number(environ, "SLURM_RESTART_COUNT") or 0,
        array_index=index,
    )


def step(
    program: str,
    command: Sequence[str],
    facts: AllocationFacts,
    *,
    cores: int,
    memory: int | None,
) -> tuple[str, ...]:
    """Return the srun call that runs a command once on every node.

    It finds its job by SLURM_JOB_ID of the environment. From 22.05 on srun takes no CPUs from
    sbatch, so they are told; --mem=0 is all the memory the job has. --overlap lets the step
    share them with the job's other steps, or it waits for their end. --export=ALL, because
    a script submitted with --export=NONE hands that on to its steps. Where the command ends badly
    on one node, it goes on on the others, whatever the site's KillOnBadExit says.
    """
    nodes = max(len(facts.nodes), 1)
    return (
        program,
        f"--nodes={nodes}",
        f"--ntasks={nodes}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={cores}",
        f"--mem={max(whole_mib(memory), 1)}M" if memory else "--mem=0",
        "--cpu-bind=none",
        "--overlap",
        "--kill-on-bad-exit=0",
        "--export=ALL",
        "--input=none",
        *command,
    )


def _nodes(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the hosts of the job, the one of this process first."""
    here = environ.get("SLURMD_NODENAME", "")
    try:
        nodes = expand_hosts(environ.get("SLURM_JOB_NODELIST", ""))
    except ValueError:
        nodes = ()
    first = (here,) if here and (here in nodes or not nodes) else ()
    return (*first, *(node for node in nodes if node not in first))


def _memory(environ: Mapping[str, str], cores: int | None) -> int | None:
    """Return bytes per node: Slurm tells them whole or per CPU, 0 for all there is."""
    whole = _number(environ, "SLURM_MEM_PER_NODE")
    part = _number(environ, "SLURM_MEM_PER_CPU")
    if whole:
        return whole * MIB
    return part * cores * MIB if part and cores else None


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    return int(text) if text.isdecimal() else None
