"""Where the daemon sleeps, and how it is woken."""

import os
import select
from types import TracebackType

from pangeo_hpc.localqueue.store import Store


class Pulse:
    """Where the daemon sleeps until something happened: a pipe with a name, or just time."""

    def __init__(self, store: Store) -> None:
        path = store.root / "pulse"
        self._descriptor: int | None = None
        try:
            if not path.exists():
                os.mkfifo(path, 0o600)
            self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            self._descriptor = None  # some file systems have no named pipes; then only time passes

    def __enter__(self) -> "Pulse":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def wait(self, seconds: float) -> None:
        """Sleep until somebody calls `wake`, or so many seconds."""
        watched = [] if self._descriptor is None else [self._descriptor]
        ready, _, _ = select.select(watched, [], [], seconds)
        for descriptor in ready:
            os.read(descriptor, 4096)


def wake(store: Store) -> None:
    """Tell the daemon that something happened; nothing is lost if nobody listens."""
    try:
        descriptor = os.open(store.root / "pulse", os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        os.write(descriptor, b".")
    except OSError:
        return
    finally:
        os.close(descriptor)
