"""The conversion itself, as a run: in a job, or on this machine."""

import sys
from pathlib import Path

from pangeo_hpc import workflow
from pangeo_hpc.workflow.convert.order import Order
from pangeo_hpc.workflow.convert.prepare import prepare

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
        for source in order.sources:
            run.input(source)
        plan = prepare(order, lambda look, paths: run.client.gather(run.client.map(look, paths)))
        run.write_zarr(
            plan.dataset(),
            order.target,
            along=plan.arrangement.along,
            unit=plan.unit,
            encoding=plan.encoding,
            key=f"data convert {order.digest}",
        )
