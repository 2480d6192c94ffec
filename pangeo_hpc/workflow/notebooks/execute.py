"""Compute a notebook by papermill, in a kernel that only we can reach.

The kernel is the Python of this process. It talks over sockets in a private directory of this
machine, signed with a key in a file beside them, and listens at no port.
"""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from pangeo_hpc import errors, files
from pangeo_hpc.errors import Exit, PangeoHpcError, UsageError
from pangeo_hpc.workflow.notebooks.notebook import NOTEBOOK

if TYPE_CHECKING:
    from jupyter_client.manager import AsyncKernelManager

# Seconds in which an environment on a slow filesystem has to start a kernel, and in which what a
# cell printed has to arrive.
_START, _ARRIVE = 600, 120
# A Unix socket's path has at most 107 bytes.
_LONGEST = 80
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
_SCHEME = "pangeo-hpc:"


@dataclass(frozen=True)
class Ended:
    """How a notebook ended: the exit code, and where and why in one line, if it did not go well."""

    code: int
    reason: str = ""
    traceback: str = ""


def compute(path: Path, target: Path, parameters: Mapping[str, Any]) -> Ended:
    """Compute a notebook and keep it as it grows in `target`, whole at any moment.

    The kernel's working directory is the notebook's. Raise NotAllowed if `target` cannot be
    written, UsageError for what is no notebook after all; the answer tells what went wrong in a
    cell.
    """
    from nbclient.exceptions import DeadKernelError
    from nbformat import ValidationError
    from papermill import PapermillExecutionError, execute_notebook

    begun: list[int] = []

    def tell(cell: Mapping[str, Any], cell_index: int) -> None:
        begun.append(cell_index)
        if cell.get("cell_type") == "code":
            first = str(cell.get("source", "")).strip().partition("\n")[0]
            sys.stderr.write(f"cell {cell_index + 1}: {first[:80]}\n")
            sys.stderr.flush()

    with _kernel(path) as manager, _forwarding(manager) as received, _kept_whole(path, target):
        try:
            execute_notebook(
                f"{_SCHEME}source.ipynb",
                f"{_SCHEME}executed.ipynb",
                parameters=dict(parameters) or None,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                stdout_file=sys.stdout,
                stderr_file=sys.stderr,
                start_timeout=_START,
                cwd=str(path.parent),
                km=manager,
                iopub_timeout=_ARRIVE,
                on_cell_start=tell,
            )
        except PapermillExecutionError as error:
            return _of_cell(error)
        except ValidationError as error:
            text = f"{path} is not a valid notebook: {error.message}"
            raise UsageError(text, hint="open and save it in JupyterLab") from error
        except DeadKernelError:
            return _of_dead_kernel(_exit_code(manager), received)
        except RuntimeError as error:
            if begun:
                raise
            return Ended(int(Exit.NO), f"the start of the kernel: {error}")
    return Ended(0)


def _of_cell(error: Any) -> Ended:
    """Return how a notebook ended whose cell raised an error, by the error's name."""
    from papermill.exceptions import strip_color

    where = f"cell {error.cell_index + 1}, In [{error.exec_count}]"
    first = str(error.evalue).partition("\n")[0]
    trace = str(strip_color("\n".join(error.traceback)))
    return Ended(
        _code_of(error.ename, str(error.evalue)), f"{where}: {error.ename}: {first}", trace
    )


def _code_of(name: str, value: str) -> int:
    """Return the exit code of an error that a kernel tells of by its name only."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, PangeoHpcError):
        return int(kind.exit_code)
    if name == "SystemExit" and value.isdecimal():
        return int(value)
    return int(Exit.INTERRUPTED if name == "KeyboardInterrupt" else Exit.NO)


def _exit_code(manager: "AsyncKernelManager") -> int | None:
    """Return what the kernel's process ended with, None while it lives."""
    process = getattr(manager.provisioner, "process", None)
    return None if process is None else process.poll()


def _of_dead_kernel(code: int | None, received: list[int]) -> Ended:
    if code is None or code >= 0:
        return Ended(code or int(Exit.NO), f"the kernel ended by itself, with {code}")
    name = signal.Signals(-code).name
    why = " (out of memory?)" if -code == signal.SIGKILL and not received else ""
    return Ended(128 - code, f"the kernel was ended by {name}{why}")


@contextmanager
def _kernel(path: Path) -> Iterator["AsyncKernelManager"]:
    """Make a kernel's manager; the kernel is started later, and ended here."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    program = [sys.executable, "-m", "pangeo_hpc.workflow.notebooks.kernel", str(os.getpid())]

    class ThisPython(KernelSpecManager):
        """Knows one kernel: our own Python, whatever the notebook's metadata name."""

        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            argv = [*program, str(place), "-f", "{connection_file}"]
            env = {NOTEBOOK: str(path)}
            return KernelSpec(argv=argv, language="python", display_name=kernel_name, env=env)

    class Manager(AsyncKernelManager):
        """Remembers its clients, whose channels nbclient leaves open."""

        def client(self, **kwargs: Any) -> Any:
            made = super().client(**kwargs)
            clients.append(made)
            return made

    clients: list[Any] = []
    with _private_place() as place:
        manager = Manager(
            kernel_name="python3",
            kernel_spec_manager=ThisPython(),
            transport="ipc",
            connection_file=str(place / "kernel.json"),
        )
        try:
            yield manager
        finally:
            for each in clients:
                each.stop_channels()
            _end(manager)


def _end(manager: "AsyncKernelManager") -> None:
    """Let the kernel end by itself, so that what it left for its exit is done, or kill it."""
    from jupyter_core.utils import run_sync

    if manager.has_kernel:
        run_sync(manager.shutdown_kernel)(now=_exit_code(manager) is not None)


@contextmanager
def _private_place() -> Iterator[Path]:
    """Make a directory of this machine that only we can enter; its path is short enough."""
    place = Path(tempfile.mkdtemp(prefix="pangeo-hpc-"))
    if len(str(place)) > _LONGEST:
        place.rmdir()
        place = Path(tempfile.mkdtemp(prefix="pangeo-hpc-", dir="/tmp"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _forwarding(manager: "AsyncKernelManager") -> Iterator[list[int]]:
    """Hand signals on to the kernel, which has the run; yield those that came."""
    received: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        process = getattr(manager.provisioner, "process", None)
        if process is None or process.poll() is not None:
            raise SystemExit(128 + number)
        process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _kept_whole(source: Path, target: Path) -> Iterator[None]:
    """Let papermill read and write through us: what it writes is whole or not there."""
    from papermill.iorw import papermill_io

    class Whole:
        """Papermill's handler of our two names; it reads the notebook once."""

        text = source.read_text(encoding="utf-8")

        def read(self, _path: str) -> str:
            return self.text

        def write(self, text: str, _path: str) -> None:
            files.write_atomic(target, text, mode=0o600)

        def listdir(self, path: str) -> list[str]:
            return [path]

        def pretty_path(self, path: str) -> str:
            return str(source if path.endswith("source.ipynb") else target)

    handler = (_SCHEME, Whole())
    papermill_io.register(*handler)
    try:
        yield
    finally:
        papermill_io._handlers.remove(handler)  # noqa: SLF001, it has no way to unregister
