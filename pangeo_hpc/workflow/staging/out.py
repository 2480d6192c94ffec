"""Copy a finished output to where it stays: what is behind `Run.stage_out`."""

import time
from collections.abc import Callable
from pathlib import Path

from pangeo_hpc.errors import UsageError
from pangeo_hpc.scratch import inside
from pangeo_hpc.site import Site
from pangeo_hpc.workflow.attempt import Attempt
from pangeo_hpc.workflow.holder import moment
from pangeo_hpc.workflow.staging.begin import Beginning, Choices, Place
from pangeo_hpc.workflow.staging.copying import Copying
from pangeo_hpc.workflow.staging.ledger import StagingLedger
from pangeo_hpc.workflow.staging.places import Folder, Store
from pangeo_hpc.workflow.staging.source import survey


def stage_out(
    attempt: Attempt,
    path: Path,
    to: str | Path,
    name: str,
    choices: Choices,
    site: Callable[[], Site],
) -> str:
    """Copy an output and return where the copy is. See `Run.stage_out`."""
    began = time.monotonic()
    _refuse_unfinished(attempt, path)
    source = survey(path)
    open_place = place_for(to, inside(Path(name)), site)
    shown = open_place("").shown
    ledger = StagingLedger(attempt.folder, path, shown, attempt.lease)
    attempt.lease.check()
    place, done = Beginning(attempt, ledger, source, open_place, choices).place()
    copy = Copying(attempt, ledger, source, place, done, choices)
    copied = copy.run()
    facts = {"files": len(source.stamps), "bytes": source.bytes}
    if copied or not ledger.complete:
        ledger.finish({**facts, "sha256": copy.digest()})
    told = {"place": shown, "at": moment(), "copied": copied, **facts}
    told["seconds"] = round(time.monotonic() - began, 3)
    attempt.staged.setdefault(str(path), {})[shown] = {**told, "sha256": copy.digest()}
    return shown


def place_for(to: str | Path, name: Path, site: Callable[[], Site]) -> Callable[[str], Place]:
    """Return what opens the place of a copy: below a folder, at a URL, or in a store of the site.

    A word without a slash is the name of one of the site's object stores.
    """
    text = str(to)
    if text.startswith("file://"):
        to = Path(text.removeprefix("file://"))
    elif "://" in text:
        from fsspec.core import url_to_fs

        filesystem, root = url_to_fs(text)
        below = f"{root.rstrip('/')}/{name.as_posix()}"
        return lambda _: Store(filesystem, below, f"{text.rstrip('/')}/{name.as_posix()}")
    if isinstance(to, Path) or "/" in text or text.startswith(("~", ".")):
        target = Path(to).expanduser().absolute() / name
        return lambda token: Folder(target, token)
    from pangeo_hpc.data import object_store

    filesystem = object_store(text, site())
    return lambda _: Store(filesystem, name.as_posix(), f"{text}:{name.as_posix()}")


def _refuse_unfinished(attempt: Attempt, path: Path) -> None:
    for each in attempt.outputs:
        if each.path == path and not each.complete:
            text = f"{path} is unfinished: {each.skipped + each.written} of {each.units} are there"
            raise UsageError(text, hint="copy it out when it is complete")
