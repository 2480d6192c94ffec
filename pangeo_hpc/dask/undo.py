"""Import dask_jobqueue without what its import does to the process."""

import signal
import threading
from importlib import import_module
from types import ModuleType
from typing import Any

_lock = threading.Lock()


def dask_jobqueue() -> ModuleType:
    """Return the package `dask_jobqueue`, also when called from a thread.

    Its import (0.9.0) takes over Ctrl-C, so that it raises SystemExit instead of
    KeyboardInterrupt, and fails outside the main thread. Handlers set by other threads meanwhile
    are not touched.
    """
    with _lock:
        real, importer = signal.signal, threading.get_ident()

        def keep(number: int, handler: Any) -> Any:
            if threading.get_ident() == importer:
                return signal.getsignal(number)
            return real(number, handler)

        signal.signal = keep  # type: ignore[assignment]
        try:
            return import_module("dask_jobqueue")
        finally:
            signal.signal = real
