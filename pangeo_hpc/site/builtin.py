"""The built-in site: this machine alone, with no file at all."""

from pangeo_hpc.machine import Machine
from pangeo_hpc.units import MIB


def local_yaml(machine: Machine) -> str:
    """Return the built-in site as YAML.

    A tenth of the memory, at least 512 MiB, is left for the rest of the machine; a job that asks
    for nothing gets all the others.
    """
    most = max(machine.memory - max(machine.memory // 10, 512 * MIB), 256 * MIB) // MIB
    return f"""\
name: local
description: This machine, without any site file
scheduler: local
node_types:
  local:
    description: A job on this machine
    cores: {machine.cores}
    memory: {most} MiB
    walltime: "1-00:00:00"
    max_walltime: "30-00:00:00"
scratch:
  scratch:
    path: ~/pangeo-scratch
"""
