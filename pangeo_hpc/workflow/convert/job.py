"""The conversion itself, as a run: in a job, or on this machine."""

import sys
from pathlib import Path
from typing import Any

from pangeo_hpc import workflow
from pangeo_hpc.workflow.convert.order import Order
from pangeo_hpc.workflow.convert.prepare import Each, prepare
from pangeo_hpc.workflow.convert.record import Record
from pangeo_hpc.workflow.session import Run

# What the job runs: short, so that it says nothing that an update of the package would change.
SCRIPT = '''\
"""Written by `pangeo-hpc data convert`: run that again instead of changing this."""

from pangeo_hpc.workflow.convert.job import main

main()
'''


def main() -> None:
    """Convert what the order file says, which is the script's only argument."""
    order = Order.read(Path(sys.argv[1]))
    with workflow.start() as run:
        convert(run, order, lambda look, paths: run.client.gather(run.client.map(look, paths)))


def convert(run: Run, order: Order, each: Each = map) -> None:
    """Convert the files of an order; `each` maps a function over them."""
    for source in order.sources:
        run.input(source)
    plan = prepare(order, each)
    along, target = plan.arrangement.along, run.output(order.target).absolute()
    record = Record.read(run.folder, target) if order.append else None
    ds = plan.dataset(record)
    asked: dict[str, Any] = {"along": along, "unit": plan.unit, "encoding": plan.encoding}
    if record is None:
        record = Record.begin(plan, ds, target)
    else:
        record = record.with_files([part.piece.path for part in plan.arrangement.parts])
        # it keeps the layout that it has
        asked = {"append": along}
    # before the first step of them is written: whoever goes on must know what was begun
    record.write(run.folder)
    run.write_zarr(ds, order.target, key=f"data convert {order.digest}", **asked)
    record.finished(_steps(target, along)).write(run.folder)


def _steps(target: Path, along: str) -> int:
    import xarray as xr

    with xr.open_zarr(target, chunks=None) as ds:
        return int(ds.sizes[along])
