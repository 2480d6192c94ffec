"""The options that describe a job: the same words for every command that submits one."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def _pairs(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE", context, parameter)
        pairs[name] = text
    return pairs


def request_options(command: F) -> F:
    """Add the options that describe a job; the same words everywhere."""
    nodes = click.option("--nodes", metavar="N", help="How many nodes (default 1).")
    return one_node_options(nodes(command))


def one_node_options(command: F) -> F:
    """Add the options that describe a job on a single node."""
    options = [
        click.option("--node-type", "-t", metavar="T", help="Node type of the site."),
        click.option("--env", "environment", metavar="E", help="Environment of the site."),
        click.option("--cores", metavar="C", help="Cores on each node."),
        click.option("--memory", metavar="M", help="Memory on each node, for example 16GiB."),
        click.option("--gpus", metavar="G", help="GPUs on each node."),
        click.option("--walltime", metavar="W", help="For example 04:00:00 or '90 minutes'."),
        click.option("--account", "-A", metavar="A", help="The account to charge."),
        click.option(
            "--option",
            "options",
            metavar="NAME=VALUE",
            multiple=True,
            callback=_pairs,
            help="An option that the node type declares; may be given more than once.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command
