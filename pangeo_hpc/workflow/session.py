"""The run a script works in: `with workflow.start("climatology") as run`."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pangeo_hpc import allocation, scratch
from pangeo_hpc.errors import PangeoHpcError, RunBusy, UsageError
from pangeo_hpc.site import Site, current_person, load_site
from pangeo_hpc.workflow import here, lease, origin, runs
from pangeo_hpc.workflow.attempt import Attempt, summarize
from pangeo_hpc.workflow.deadline import Deadline
from pangeo_hpc.workflow.ending import Signals, Words, exit_status
from pangeo_hpc.workflow.holder import Holder, myself
from pangeo_hpc.workflow.inputs import find
from pangeo_hpc.workflow.notebooks import notebook as notebooks
from pangeo_hpc.workflow.progress import Progress
from pangeo_hpc.workflow.provenance.record import Notes
from pangeo_hpc.workflow.provenance.recorder import Recorder
from pangeo_hpc.workflow.reduce.tuning import defaults, on_workers
from pangeo_hpc.workflow.replays.redirect import Redirect
from pangeo_hpc.workflow.until_done.record import followed
from pangeo_hpc.workflow.watching import Watch

if TYPE_CHECKING:
    import xarray as xr

    from pangeo_hpc.workflow.mapping.maps import OnError, Results

FORCE = "PANGEO_HPC_FORCE"
KEEP = "PANGEO_HPC_KEEP"


def start(
    name: str | None = None,
    *,
    site: Site | str | Path | None = None,
    cluster: bool = True,
    node_type: str | None = None,
    workers: int | None = None,
    where: str | None = None,
) -> "Run":
    """Return a run to enter with `with`.

    A job that pangeo-hpc submitted or started belongs to a run already; elsewhere the run is known
    by `name`, or by the script's name. `cluster=False` computes with threads in this process;
    otherwise `node_type`, `workers` and `where` go to `start_cluster`, which picks them from
    where it is. From here on an uncaught error of ours ends the script with its exit code.
    """
    words = Words()
    words.install()
    asked = {"node_type": node_type, "workers": workers, "where": where} if cluster else None
    return Run(name, site, asked, words)


class Run:
    """One attempt of a run: its inputs, its outputs, and Dask to compute with.

    `client` and `cluster` are None with ``cluster=False``.
    """

    def __init__(
        self,
        name: str | None,
        site: Site | str | Path | None,
        dask: Mapping[str, Any] | None,
        words: Words,
    ) -> None:
        self._asked_name, self._asked_site, self._asked_dask = name, site, dask
        self._loaded: Site | None = None
        self._words = words
        self._script, self._arguments = _main_program()
        self._inputs: dict[str, str] = {}
        self._stack = ExitStack()
        self._place: Path | None = None
        self._attempt: Attempt | None = None
        self._recorder: Recorder | None = None
        self._redirect = Redirect()
        self._began = time.monotonic()
        self.client: Any = None
        self.cluster: Any = None

    @property
    def name(self) -> str:
        """Return the run's name."""
        return self._entered.folder.name

    @property
    def folder(self) -> Path:
        """Return the run's own folder, where its ledger and its attempts are kept."""
        return self._entered.folder

    def __enter__(self) -> "Run":
        folder, number = self._open()
        inside = allocation.current()
        deadline = Deadline(allocation.known_end(inside))
        me = myself(inside, number, deadline.ends, followed(folder, number))
        with ExitStack() as stack:
            # from here on a SIGTERM unwinds: it sends the workers home and gives the run back
            signals = stack.enter_context(Signals(folder.name, deadline))
            held = lease.take(folder.path, me, Watch(folder, self._site))
            stack.callback(held.release)
            held.start_heartbeat(signals.lost)
            if self._place is not None:
                here.remember(self._site(), folder, self._place)
            self._attempt = Attempt(
                folder=folder.path,
                record={**folder.record, "folder": str(folder.path)},
                lease=held,
                deadline=deadline,
                signals=signals,
                progress=Progress(folder.path, sys.stderr),
                code=origin.digest_of_code(self._script),
                inputs=self._inputs,
                forced=_forced(held.holder),
                keep=KEEP in os.environ,
            )
            self._redirect = Redirect.of(folder.path)
            self._record(stack, folder, number, inside)
            stack.enter_context(defaults())
            if self._asked_dask is not None:
                self._start_dask(stack, self._asked_dask)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        attempt = self._entered
        try:
            # a stale attempt writes nothing more
            if not isinstance(error, RunBusy):
                summarize(attempt, self._began)
        except PangeoHpcError as problem:
            attempt.progress.say(f"the summary was not written: {problem}")
        finally:
            if self._recorder is not None:
                self._recorder.end(error)
            self._stack.close()
            if self._recorder is not None:
                self._recorder.close()
            if self._place is not None:
                here.note_end(self._place, exit_status(error))
        if error is None:
            self._words.remove()

    def input(self, name: str | Path, *, storage_options: Mapping[str, Any] | None = None) -> Any:
        """Return where an input is: below scratch, in a catalog of the site, or at a URL.

        It is a path or a URL for `xarray.open_zarr` and others; with `storage_options` of fsspec, a
        mapper. Whether the input was replaced is noticed by the next attempt. Raise UsageError if
        it is not there, or is a store that another run has not finished.
        """
        found = find(name, self._input_place, self._site, storage_options)
        self._inputs[found.key] = found.identity
        return found.place

    def output(self, name: str | Path) -> Path:
        """Return where an output of this name goes: below scratch, or its absolute path."""
        if "://" in str(name):
            raise UsageError(f"{name} is a URL", hint="outputs are written below scratch")
        return self._redirect.output(self._below_scratch(name))

    def _input_place(self, name: str | Path) -> Path:
        return self._redirect.input(self._below_scratch(name))

    def _below_scratch(self, name: str | Path) -> Path:
        return scratch.path(name, site=None if self._asked_site is None else self._site())

    def write_zarr(
        self,
        ds: "xr.Dataset | xr.DataArray | xr.DataTree",
        path: str | Path,
        *,
        along: str | None = None,
        unit: int | None = None,
        encoding: Mapping[str, Any] | None = None,
        key: str | None = None,
        append: str | None = None,
        group: str | None = None,
    ) -> Path:
        """Compute a dataset and write it as Zarr, unit by unit; return where it is.

        A unit is `unit` steps of the dimension `along`, whole shards of 64 to 256 MiB if not said
        otherwise; chunks and shards in `encoding` are kept to. Units that an earlier attempt
        finished are not computed again; those that another script, environment or input made are,
        unless ``--keep``. `key`, a text that names what is computed, takes the place of script and
        environment there. With `append`, a dimension, steps after those that are there are added.
        `group` writes into a group of the store; a DataTree brings its own.

        Raise UsageError if the store at `path` is not this run's or is laid out otherwise,
        RequestRefused for what cannot be written so, StoppedInTime before the walltime ends, and
        RunBusy if another attempt took the run over.
        """
        from pangeo_hpc.workflow.writing.layout import Asked
        from pangeo_hpc.workflow.writing.write import write

        attempt = self._entered
        if self._recorder is not None:
            # an output's attributes tell the commit
            self._recorder.know()
        asked = Asked(along=along, unit=unit, encoding=encoding or {}, append=append)
        target = self.output(path).absolute()
        return write(attempt, ds, target, asked, group=group, key=key).path

    def map(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        key: str | None = None,
        item_key: Callable[[Any], Any] | None = None,
        retries: int = 1,
        name: str | None = None,
        save: str | Path | None = None,
        ordered: bool = True,
        on_error: "OnError" = "raise",
    ) -> "Results":
        """Compute `function(item)` for each item, each once, and return an iterator of the results.

        Results are kept in the run's folder, datasets and tables in the folder `save` below scratch
        if it is given; a later attempt takes them from there. They count as long as the script, the
        inputs and what the function takes from outside itself are the same; with `key`, the text
        that names what is computed, the code may change. An item is known by its value, or by what
        `item_key(item)` returns; `name` tells maps of a run apart (default: the function's name).
        `ordered=False` returns results as they are done.

        An item that fails is tried `retries` more times; the others go on. At the end MapFailed
        tells them all, unless `on_error="skip"` leaves them out. Raise UsageError for items that
        are known by nothing, StoppedInTime before the walltime ends, and RunBusy if another attempt
        took the run over.
        """
        from pangeo_hpc.workflow.mapping import maps as mapping

        place = None if save is None else self.output(save).absolute()
        choices = mapping.Choices(
            key=key,
            item_key=item_key,
            retries=retries,
            name=name,
            save=place,
            ordered=ordered,
            on_error=on_error,
        )
        results = mapping.start(self._entered, function, items, choices, self.client)
        results.end_with(self._stack)
        return results

    def stage_out(
        self,
        path: str | Path,
        to: str | Path,
        *,
        name: str | None = None,
        overwrite: bool = False,
        verify: bool = False,
    ) -> str:
        """Copy a finished output to where it stays, and return where the copy is.

        `to` is an object store of the site by its name, a folder, or a URL; below it the copy is
        called `name`, by default what the output is called below scratch. Every file is checked
        after it was copied. A later attempt copies only what is missing; with `verify` it reads
        again what is there. Nothing at the place is readable before all of it is. A replay copies
        nothing, and returns where its own output is.

        Raise UsageError for an output that is unfinished or changes, and if something else is at
        the place, unless `overwrite`; NotAllowed for missing permission or space; StoppedInTime
        before the walltime ends.
        """
        from pangeo_hpc.workflow.staging.begin import Choices
        from pangeo_hpc.workflow.staging.out import stage_out

        output = self.output(path).absolute()
        if self._redirect.root is not None:
            self._entered.progress.say(f"{path}: a replay copies nothing to {to}")
            return str(output)
        called = name or (Path(path).name if Path(path).is_absolute() else str(path))
        choices = Choices(overwrite=overwrite, verify=verify)
        return stage_out(self._entered, output, to, called, choices, self._site)

    @property
    def _entered(self) -> Attempt:
        if self._attempt is None:
            hint = 'write: with workflow.start("name") as run'
            raise UsageError("the run was not entered", hint=hint)
        return self._attempt

    def _open(self) -> tuple[runs.RunFolder, int | None]:
        """Return the run this process belongs to, or the one it names, and the attempt's number.

        A script that was simply started makes an attempt of its own.
        """
        given = runs.current()
        if given is not None:
            number = os.environ.get(runs.ATTEMPT)
            return given, int(number) if number else None
        name = self._asked_name or (self._script.stem if self._script else None)
        if name is None:
            raise UsageError("the run has no name", hint='write: workflow.start("name")')
        folder = runs.open_run(
            self._site(),
            current_person(),
            name,
            script=self._script,
            arguments=self._arguments,
            force=FORCE in os.environ,
        )
        claimed, self._place = folder.new_attempt()
        return folder, claimed

    def _site(self) -> Site:
        """Return the site, which is read when it is needed first."""
        if self._loaded is None:
            asked = self._asked_site
            self._loaded = asked if isinstance(asked, Site) else load_site(asked)
        return self._loaded

    def _record(
        self,
        stack: ExitStack,
        folder: runs.RunFolder,
        number: int | None,
        inside: allocation.Allocation | None,
    ) -> None:
        """Begin to keep how this attempt comes about."""
        place = self._place or (folder.attempt(number) if number else None)
        if place is None:
            return
        notes = Notes(self._entered, place, self._script, self._arguments, inside, self._began)
        self._recorder = stack.enter_context(Recorder(notes))

    def _start_dask(self, stack: ExitStack, asked: Mapping[str, Any]) -> None:
        from pangeo_hpc.dask import start_cluster

        self.cluster = stack.enter_context(start_cluster(site=self._site(), **asked))
        if self._recorder is not None:
            self._recorder.watch(self.cluster)
        self.client = stack.enter_context(self.cluster.get_client())
        on_workers(self.client)


def _main_program() -> tuple[Path | None, list[str]]:
    """Return the script that is running and its arguments; no script in an interactive notebook."""
    notebook = os.environ.get(notebooks.NOTEBOOK)
    if notebook and "ipykernel" in sys.modules:
        return Path(notebook), []
    path = getattr(sys.modules["__main__"], "__file__", None)
    return (Path(path).absolute(), sys.argv[1:]) if path else (None, [])


def _forced(holder: Holder) -> str | None:
    """Return the mark of this start over, equal when the scheduler requeues the attempt."""
    if FORCE not in os.environ:
        return None
    if os.environ[FORCE] != "1":
        # attempts that follow one another start over once together
        return os.environ[FORCE]
    return f"attempt {holder.attempt}" if holder.attempt else f"holder {holder.number}"
