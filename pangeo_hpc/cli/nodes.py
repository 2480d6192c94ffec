"""`nodes`: what there is, what is free, and when a default job would start."""

from typing import TYPE_CHECKING, Any

import click

from pangeo_hpc.cli.context import Here, here
from pangeo_hpc.cli.output import json_option

if TYPE_CHECKING:
    from pangeo_hpc.jobs.outlook import Outlook


@click.command()
@click.option("--node-type", "-t", metavar="T", help="Only this node type.")
@json_option
@click.pass_context
def nodes(context: click.Context, node_type: str | None) -> None:
    """Show node types with their limits, what is free, and when a default job would start."""
    from pangeo_hpc.jobs.outlook import outlooks

    our = here(context)
    names = [our.site.node_type(node_type).name] if node_type else list(our.site.node_types)
    seen = outlooks(our.site, names, our.person)
    rows = [_row(our, name, seen[name]) for name in names]
    if our.face.json:
        our.face.data({"site": our.site.name, "node_types": rows})
        return
    columns = (
        "node type",
        "idle",
        "partly",
        "busy",
        "down",
        "cores",
        "memory",
        "walltime",
        "start",
    )
    our.face.table(columns, [[_cell(row, column) for column in columns] for row in rows])


def _cell(row: dict[str, Any], column: str) -> str:
    from pangeo_hpc.units import format_memory

    value = row[column.replace(" ", "_")]
    if column == "memory":
        return format_memory(value)
    return "-" if value is None else str(value)


def _row(our: Here, name: str, seen: "Outlook") -> dict[str, Any]:
    from pangeo_hpc.units import format_walltime

    node = our.site.node_type(name)
    return {
        "node_type": name,
        "queue": node.queue,
        **{str(state): number for state, number in seen.counts.items()},
        "cores": node.cores,
        "max_cores": node.max_cores,
        "memory": node.memory,
        "gpus": node.gpus,
        "walltime": format_walltime(node.max_walltime),
        "max_nodes": node.max_nodes,
        "start": seen.start.isoformat(timespec="minutes") if seen.start else None,
        "note": seen.note,
    }
