"""Take back one thing that an installation made, unless somebody has changed it since."""

import grp
import pwd
from collections.abc import Callable, Mapping
from pathlib import Path

from pangeo_hpc.errors import NotAllowed
from pangeo_hpc.hub.install.record import Entry, digest
from pangeo_hpc.hub.install.steps import Change, Kind, call
from pangeo_hpc.run import Runner


def undo(entry: Entry, *, dry: bool, runner: Runner) -> Change | None:
    """Return what was done; None if the thing is gone already. What cannot go is left and named."""
    return _KINDS[entry.kind](entry, dry, runner)


def _file(entry: Entry, dry: bool, _: Runner) -> Change | None:
    path = Path(entry.name)
    try:
        there = path.read_bytes()
    except FileNotFoundError:
        return None
    if digest(there) != entry.digest:
        return Change(Kind.LEFT, entry.name, "it was changed since it was written")
    if not dry:
        path.unlink()
    return Change(Kind.REMOVED, entry.name)


def _folder(entry: Entry, dry: bool, _: Runner) -> Change | None:
    path = Path(entry.name)
    if not path.is_dir():
        return None
    if not dry:
        try:
            path.rmdir()
        except OSError:
            inside = ", ".join(sorted(each.name for each in path.iterdir())[:5])
            return Change(Kind.LEFT, f"{path}/", f"it holds {inside}; remove it if nobody needs it")
    return Change(Kind.REMOVED, f"{path}/")


def _member(entry: Entry, dry: bool, runner: Runner) -> Change | None:
    name, _, group = entry.name.partition(":")
    try:
        if name not in grp.getgrnam(group).gr_mem:
            return None
    except KeyError:
        return None
    if not dry:
        call(runner, "gpasswd", "--delete", name, group)
    return Change(Kind.REMOVED, f"{name} from group {group}")


def _account(entry: Entry, dry: bool, runner: Runner) -> Change | None:
    thing = f"account {entry.name}"
    try:
        home = Path(pwd.getpwnam(entry.name).pw_dir)
    except KeyError:
        return None
    if not dry:
        if home.exists():
            return Change(Kind.LEFT, thing, f"{home} is still there; then: userdel {entry.name}")
        try:
            call(runner, "userdel", entry.name)
        except NotAllowed as error:
            return Change(Kind.LEFT, thing, error.text)
    return Change(Kind.REMOVED, thing)


_KINDS: Mapping[str, Callable[[Entry, bool, Runner], Change | None]] = {
    "file": _file,
    "folder": _folder,
    "member": _member,
    "account": _account,
}
