"""Carry out an installation, or take it back, and remember it after each step."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pangeo_hpc.errors import NotAllowed
from pangeo_hpc.hub.install.plan import HUB_UNIT, PROXY_UNIT
from pangeo_hpc.hub.install.record import MANIFEST, Manifest
from pangeo_hpc.hub.install.steps import Change, Kind, Step, call
from pangeo_hpc.hub.install.undo import undo
from pangeo_hpc.run import Runner, run

# Only where systemd runs the machine; a chroot or a container has its files, and nobody to tell.
SYSTEMD = Path("/run/systemd/system")


def install(
    steps: Sequence[Step], *, dry: bool = False, path: Path = MANIFEST, runner: Runner = run
) -> Iterator[Change]:
    """Yield every change as it is made; none when everything is as it should be.

    What was made is remembered after each step, so that an installation that was cut short can be
    taken back. Raise NotAllowed if a step cannot be done.
    """
    manifest = Manifest.read(path)
    units = False
    for step in steps:
        try:
            change = step.ensure(manifest, dry=dry)
        finally:
            if not dry:
                manifest.write()
        if change is not None:
            units |= ".service" in change.thing and change.kind is not Kind.LEFT
            yield change
    if units and not dry and SYSTEMD.is_dir():
        call(runner, "systemctl", "daemon-reload")


def uninstall(
    *, dry: bool = False, path: Path = MANIFEST, runner: Runner = run
) -> Iterator[Change]:
    """Yield everything that is taken back, the last made first, and what is left, with the reason.

    Units are stopped first. What is left stays remembered.
    """
    manifest = Manifest.read(path)
    entries = list(manifest.backwards())
    if entries and not dry and SYSTEMD.is_dir():
        for unit in (HUB_UNIT, PROXY_UNIT):
            try:
                call(runner, "systemctl", "disable", "--now", unit)
            except NotAllowed as error:
                yield Change(Kind.LEFT, unit, error.text)
    for entry in entries:
        change = undo(entry, dry=dry, runner=runner)
        if not dry and (change is None or change.kind is not Kind.LEFT):
            manifest.forget(entry)
            manifest.write()
        if change is not None:
            yield change
    if entries and not dry and SYSTEMD.is_dir():
        call(runner, "systemctl", "daemon-reload")
