"""Become a node: enter own namespaces and cgroups, then turn into slurmd.

Run as a program: `python3 node.py '{"name": "c1", …}'`; see `NodeSetup`. Each node has its own
host name, its own mounts and, where memory limits are real, its own view of the cgroups.
"""

import ctypes
import json
import os
import socket
import sys
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
MS_NOSUID = 2
MS_REC = 16384
MS_PRIVATE = 1 << 18

libc = ctypes.CDLL(None, use_errno=True)


def main(text: str) -> None:
    """Set up the node that the JSON text describes and become its daemon."""
    setup = json.loads(text)
    flags = CLONE_NEWNS | CLONE_NEWUTS
    for directory in setup["cgroups"].values():
        Path(directory, "cgroup.procs").write_text(str(os.getpid()))
        flags |= CLONE_NEWCGROUP
    check(libc.unshare(flags), "unshare")
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    socket.sethostname(setup["name"])
    # The source of this mount marks every process of the node; the harness finds them by it.
    mount(setup["mark"], setup["local_disk"], "tmpfs", MS_NOSUID, "mode=1777,size=2g")
    for controller in setup["cgroups"]:
        mount("none", f"{setup['cgroup_mount']}/{controller}", "cgroup", 0, controller)
    for directory in setup["empty"]:
        mount(setup["mark"], directory, "tmpfs", MS_NOSUID, setup["empty"][directory])
    if setup["hidden_commands"]:
        hide(setup["hidden_commands"], Path(setup["overlay"]), setup["mark"])
    os.execv(setup["argv"][0], setup["argv"])


def hide(commands: list[str], work: Path, mark: str) -> None:
    """Take commands away with an overlay, so that looking for them says "not found"."""
    mount(mark, str(work), "tmpfs", 0, "mode=755")
    for folder in sorted({os.path.dirname(command) for command in commands}):
        upper = work / "upper" / folder.replace("/", "_")
        spare = work / "spare" / folder.replace("/", "_")
        upper.mkdir(parents=True)
        spare.mkdir(parents=True)
        for command in commands:
            if os.path.dirname(command) == folder:
                os.mknod(upper / os.path.basename(command), 0o020000, os.makedev(0, 0))
        mount(
            "overlay", folder, "overlay", 0, f"lowerdir={folder},upperdir={upper},workdir={spare}"
        )


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mount a file system; raise OSError with the target's name if the kernel refuses."""
    names = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    check(libc.mount(*names, ctypes.c_ulong(flags), os.fsencode(data)), f"mount {target}")


def check(result: int, what: str) -> None:
    """Raise OSError if a call of the C library failed."""
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


if __name__ == "__main__":
    main(sys.argv[1])
