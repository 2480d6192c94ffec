"""Start and end a test cluster by hand: `python -m tests.cluster up|down|status|run`."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from tests.cluster import machine
from tests.cluster.config import BASE, ClusterConfig
from tests.cluster.errors import ClusterError
from tests.cluster.slurm import SlurmCluster

HERE = BASE / "hand"
PROJECT = Path(__file__).parents[2]


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says and return the exit code."""
    options = _parser().parse_args(argv)
    try:
        return int(options.do(options))
    except ClusterError as error:
        print("\n".join([f"error: {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        return 1


def up(options: argparse.Namespace) -> int:
    """Start the cluster and say how to use it."""
    config = ClusterConfig(
        accounting=options.accounting,
        hide_home=options.hide_home,
        commands_on_nodes=options.commands_on_nodes,
        private_tmp=options.private_tmp,
        state_directory=HERE,
    )
    old = SlurmCluster.attach(HERE)
    if old is not None and old.config == config and _healthy(old):
        print("already up")
        return status(options)
    if old is not None:
        old.stop()
    if options.venv:
        machine.ensure_venv(PROJECT)
    began = time.monotonic()
    SlurmCluster(config, owned=False).start()
    print(f"up after {time.monotonic() - began:.1f} s")
    return status(options)


def down(_: argparse.Namespace) -> int:
    """End the cluster that up started."""
    cluster = SlurmCluster.attach(HERE)
    if cluster is None:
        print("not up")
    else:
        cluster.stop()
    return 0


def status(_: argparse.Namespace) -> int:
    """Print how the cluster is and how to use it; 1 if there is none."""
    cluster = SlurmCluster.attach(HERE)
    if cluster is None:
        print("not up; start it with: python -m tests.cluster up")
        return 1
    dead = [name for name, daemon in cluster.daemons.items() if not daemon.alive]
    print(f"memory limits: {cluster.memory_limits}")
    print(f"daemons ended: {' '.join(dead) or 'none'}")
    if "slurmctld" not in dead:
        nodes = ", ".join(f"{name} {word}" for name, word in cluster.node_states().items())
        print(f"nodes: {nodes}")
    print(f"scratch: {cluster.scratch_root}/USER")
    print(f"shared: {cluster.directory}/shared/USER")
    print(f"logs: {cluster.directory}/log")
    print("use it as a user: python -m tests.cluster run alice -- sbatch --wrap=hostname")
    print("use it as root, in this shell:")
    for name, value in cluster.environment().items():
        print(f"  export {name}={value}")
    return 0


def run(options: argparse.Namespace) -> int:
    """Run a command as one of the users, with this terminal as its own."""
    cluster = SlurmCluster.attach(HERE)
    if cluster is None:
        print("not up; start it with: python -m tests.cluster up", file=sys.stderr)
        return 1
    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    terminal: dict[str, Any] = {"stdin": None, "stdout": None, "stderr": None, "session": False}
    with cluster.user(options.user).popen(words or ["bash"], **terminal) as child:
        return child.wait()


def _healthy(cluster: SlurmCluster) -> bool:
    return all(daemon.alive for daemon in cluster.daemons.values())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="up|down|status|run")
    upper = commands.add_parser("up", help="start the cluster; done at once if it is up")
    for name, text in (
        ("accounting", "no slurmdbd: sacct says accounting is off"),
        ("commands-on-nodes", "the nodes have no sbatch, squeue, sacct, scancel"),
        ("venv", "do not build and install the project"),
    ):
        dest = name.replace("-", "_")
        upper.add_argument(f"--no-{name}", dest=dest, action="store_false", help=text)
    upper.add_argument("--hide-home", action="store_true", help="/home is empty on the nodes")
    upper.add_argument("--private-tmp", action="store_true", help="each node has its own /tmp")
    upper.set_defaults(do=up)
    commands.add_parser("down", help="end the cluster").set_defaults(do=down)
    commands.add_parser("status", help="say how it is").set_defaults(do=status)
    runner = commands.add_parser("run", help="run a command as alice or bob")
    runner.add_argument("user", choices=machine.USERS)
    runner.add_argument("command", nargs=argparse.REMAINDER, help="-- and the command; else bash")
    runner.set_defaults(do=run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
