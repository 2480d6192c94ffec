"""Where workers spill: a real disk of their node, as its kinds of filesystems tell."""

import os
from collections.abc import Mapping
from pathlib import Path

# Spilling there takes the memory that was to be freed.
MEMORY = ("tmpfs", "ramfs", "devtmpfs")

# Spilling there is slow, and slows everybody else down.
NETWORK = (
    "nfs*", "lustre", "gpfs", "beegfs*", "fhgfs", "ceph*", "fuse.ceph*", "cifs", "smb*",
    "glusterfs", "fuse.glusterfs", "panfs", "wekafs", "pvfs2", "orangefs", "afs", "acfs", "gfs2",
    "ocfs2", "dvs", "cvfs", "snfs", "9p",
    "virtiofs", "fuse.sshfs", "fuse.s3fs", "fuse.dfuse", "unifyfs",
)  # fmt: skip

# Variables that sites and batch systems set to a directory of the node's own disk.
_USUAL = ("TMPDIR", "PBS_JOBFS", "SLURM_TMPDIR", "LOCAL_SCRATCH", "LOCALSCRATCH")

# How a program of ours is told what kind of place it spills to, if it is not a disk.
KIND = "PANGEO_HPC_SPILL_KIND"


def candidates(local_disk: str | None) -> tuple[str, ...]:
    """Return the places to try, the best first; shell variables are to be expanded on the node."""
    first = (local_disk,) if local_disk else ()
    usual = (f"${{{name}:-}}" for name in _USUAL)
    return (*first, *usual, "/tmp", "/var/tmp", "${PANGEO_SCRATCH:-}")  # noqa: S108 - as on all nodes


def shell(local_disk: str | None) -> tuple[str, ...]:
    """Return the shell lines that set ``pangeo_disk`` and, unless it is a disk, its kind.

    `df` names the kind of filesystem as the kernel does.
    """
    places = " ".join(f'"{place}"' for place in candidates(local_disk))
    return (
        "pangeo_disk= pangeo_best=9",
        f"for pangeo_place in {places}; do",
        '[ -d "$pangeo_place" ] && [ -w "$pangeo_place" ] || continue',
        'pangeo_kind="$(df --output=fstype "$pangeo_place" 2>/dev/null | tail -n 1)"',
        'case "$pangeo_kind" in',
        f"{'|'.join(MEMORY)}) pangeo_rank=3;;",
        f"{'|'.join(NETWORK)}) pangeo_rank=2;;",
        "*) pangeo_rank=1;;",
        "esac",
        'if [ "$pangeo_rank" -lt "$pangeo_best" ]; then',
        'pangeo_best="$pangeo_rank" pangeo_disk="$pangeo_place"',
        f'{KIND}="$pangeo_kind"; [ "$pangeo_rank" -gt 1 ] || {KIND}=',
        "fi",
        "done",
        f"export {KIND}",
    )


def find_script(local_disk: str | None) -> str:
    """Return the shell program that prints the place and its kind, a line each."""
    return "\n".join([*shell(local_disk), f'printf "%s\\n%s\\n" "$pangeo_disk" "${KIND}"'])


def warning(kind: str) -> str | None:
    """Return what to say of spilling to that kind of filesystem, or None where it is a disk."""
    if not kind:
        return None
    what = "memory" if kind in MEMORY else "a network filesystem"
    return (
        f"workers spill to {what} ({kind}), since their nodes offer nothing else; "
        "where they have a disk, name it by local_disk of the node type"
    )


def told(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what a worker tells of the place that it spills to."""
    place = environ.get("PANGEO_HPC_SPILL", "")
    return {"place": str(Path(place).parent) if place else "", "kind": environ.get(KIND, "")}
