"""One attempt of a run at a time, on any shared filesystem, without trusting its locks.

Holders are numbered files in ``leases/``, each created by one exclusive `link`. The highest number
holds the run; the number is the fencing token that every write is held to.
"""

import errno
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pangeo_hpc import files
from pangeo_hpc.errors import PangeoHpcError, RunBusy
from pangeo_hpc.workflow.holder import Ask, Holder, Verdict, judge, moment
from pangeo_hpc.workflow.tries import holders, refuse_too_long

HEARTBEAT = 10.0
PATIENCE = 60.0

_NUMBERED = re.compile(r"(\d+)\.json")
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@dataclass(frozen=True)
class Fence:
    """What keeps a stale attempt from writing. Small enough to travel to Dask workers."""

    directory: Path
    number: int

    def check(self) -> None:
        """Raise RunBusy if somebody took the run over."""
        newest, holder = newest_holder(self.directory)
        if newest > self.number:
            name = self.directory.parent.name
            text = (
                f"run {name} was taken over by {holder or 'another attempt'} (holder {newest}); "
                f"this one (holder {self.number}) stops and writes nothing more"
            )
            raise RunBusy(text, hint=f"pangeo-hpc runs show {name}")


class Lease:
    """The run is ours until somebody takes it over or we release it."""

    def __init__(self, directory: Path, holder: Holder) -> None:
        self.holder = holder
        self.fence = Fence(directory, holder.number)
        self._file = _file(directory, holder.number)
        self._earlier = [h for h in holders(directory) if h.number < holder.number]
        self._writing = threading.Lock()
        self._stop = threading.Event()
        self._on_loss: Callable[[RunBusy], object] | None = None
        self._thread = threading.Thread(target=self._beat, name="run-heartbeat", daemon=True)

    def check(self) -> None:
        """Raise RunBusy if somebody took the run over.

        Renewing first changes the directory, so that an NFS client reads it afresh instead of
        answering from its cache.
        """
        try:
            self.renew()
        except FileNotFoundError as error:
            folder = self.fence.directory.parent
            text = f"the folder of run {folder.name} was removed while it was computed: {folder}"
            raise RunBusy(text, hint="run it again: it starts over") from error
        self.fence.check()

    def renew(self) -> None:
        """Show that we are alive."""
        with self._writing:
            self.holder = replace(self.holder, renewed_at=moment())
            files.write_atomic(self._file, self.holder.dump())

    @contextmanager
    def working(self, piece: str) -> Iterator[None]:
        """Note that a piece is being computed, see `begun`; it stays noted if this fails."""
        self.begun(piece)
        yield
        self.done(piece)

    def begun(self, piece: str) -> None:
        """Note that a piece of the work is being computed, for those who come after us.

        It costs nothing: the heartbeat writes it down. What was at work when an attempt was killed
        stays noted. Raise UnitTooLong for a piece that two attempts gave most of their time to, and
        did not finish.
        """
        refuse_too_long(piece, self._earlier)
        with self._writing:
            at_work = {**self.holder.at_work, piece: moment()}
            self.holder = replace(self.holder, at_work=at_work)

    def done(self, piece: str) -> None:
        """Note that a piece is finished."""
        with self._writing:
            at_work = {k: v for k, v in self.holder.at_work.items() if k != piece}
            self.holder = replace(self.holder, at_work=at_work)

    def start_heartbeat(self, on_loss: Callable[[RunBusy], object] | None = None) -> None:
        """Renew every few seconds from a thread; `on_loss` is called once if the run is taken over.

        A stale attempt that computes on finds out at its next write, which may be hours away.
        """
        self._on_loss = on_loss
        self._thread.start()

    def release(self) -> None:
        """Give the run back; the next attempt need not wait."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._writing:
            self.holder = replace(self.holder, released_at=moment())
            files.write_atomic(self._file, self.holder.dump())

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            try:
                self.check()
            except RunBusy as error:
                if self._on_loss is not None:
                    self._on_loss(error)
                return
            except (PangeoHpcError, OSError):
                # a full disk is told by whatever writes next; our process still proves our life
                continue


def take(folder: Path, me: Holder, ask: Ask, *, patience: float = PATIENCE) -> Lease:
    """Take a run for this process.

    A holder that is provably gone is followed at once. Raise RunBusy for one that lives, and after
    `patience` seconds without a sign of life for one of which nobody can tell.
    """
    directory = files.make_directory(folder / "leases", mode=0o700)
    give_up = time.monotonic() + patience
    seen: tuple[int, str] | None = None
    while True:
        number, holder = newest_holder(directory)
        verdict = Verdict.GONE if number == 0 else Verdict.UNKNOWN
        if holder is not None:
            sign = (number, holder.renewed_at)
            renewed = seen is not None and seen[0] == number and seen != sign
            seen = sign
            verdict = Verdict.ALIVE if renewed else judge(holder, me, ask)
            if verdict is Verdict.ALIVE:
                raise _busy(folder.name, holder)
        if verdict is Verdict.GONE:
            mine = replace(me, number=number + 1)
            if claim(directory, mine):
                for kind in ("ledger", "maps"):
                    _sweep(folder / kind)
                return Lease(directory, mine)
        elif time.monotonic() >= give_up:
            raise _unknown(folder.name, holder)
        else:
            time.sleep(min(2.0, max(0.05, give_up - time.monotonic())))


def free(folder: Path, me: Holder) -> bool:
    """Take a run away from a holder that a person says is dead; tell whether it had one.

    If that one lives all the same, it stops before its next unit.
    """
    directory = folder / "leases"
    while True:
        number, holder = newest_holder(directory)
        if number == 0 or (holder is not None and holder.released_at):
            return False
        if claim(directory, replace(me, number=number + 1, released_at=moment())):
            return True


def newest_holder(directory: Path) -> tuple[int, Holder | None]:
    """Return the highest number in a folder and its holder; 0 if there is none.

    The holder is None if its file cannot be understood.
    """
    try:
        names = [path.name for path in directory.iterdir()]
    except FileNotFoundError:
        return 0, None
    numbers = [int(match[1]) for name in names if (match := _NUMBERED.fullmatch(name))]
    if not numbers:
        return 0, None
    try:
        return max(numbers), Holder.load(_file(directory, max(numbers)).read_text())
    except (FileNotFoundError, ValueError):
        return max(numbers), None


def claim(directory: Path, holder: Holder) -> bool:
    """Create the file of a holder if nobody has its number; tell whether it is ours."""
    target = _file(directory, holder.number)
    draft = directory / f".{target.name}.{secrets.token_hex(8)}"
    files.write_atomic(draft, holder.dump())
    try:
        os.link(draft, target)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _create(target, holder.dump())
    finally:
        draft.unlink()
    files.sync_directory(directory)
    # NFS may repeat a link that had worked and then call it a failure: the file itself tells
    try:
        return Holder.load(target.read_text()).token == holder.token
    except ValueError:
        return False


def _sweep(directory: Path) -> None:
    """Remove the drafts of those before us: one that passed the fence takes its place no more."""
    for draft in directory.rglob(".*.partial"):
        draft.unlink(missing_ok=True)


def _create(path: Path, text: str) -> None:
    """Create a file exclusively, where the filesystem knows no links."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _file(directory: Path, number: int) -> Path:
    return directory / f"{number:04}.json"


def _busy(name: str, holder: Holder) -> RunBusy:
    end = f"kill {holder.pid} on {holder.host}"
    if holder.job_id:
        end = f"pangeo-hpc runs cancel {name}"
    text = f"run {name} is being computed by {holder}"
    return RunBusy(text, hint=f"wait for it, or end it: {end}")


def _unknown(name: str, holder: Holder | None) -> RunBusy:
    sign = f"; its last sign of life was at {holder.renewed_at}" if holder else ""
    text = f"run {name} may still be computed by {holder or 'somebody unknown'}{sign}"
    hint = f"if that one is dead, free the run: pangeo-hpc runs cancel {name} --free"
    return RunBusy(text, hint=hint)
