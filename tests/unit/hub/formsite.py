"""A site with a Slurm and a PBS, for what the form shows and asks."""

from pathlib import Path

from pangeo_hpc.site import Person, Site, load_site

SITE = """\
name: alpha
scheduler: slurm
schedulers:
  slurm: {type: slurm}
  casper: {type: pbs, server: casper}
node_types:
  shared:
    default: true
    description: Part of a node
    queue: shared
    cores: 4
    max_cores: 32
    memory: 16 GiB
    max_memory: 128 GiB
    walltime: "04:00:00"
    max_walltime: "12:00:00"
    options:
      reservation: {directive: "--reservation={value}", pattern: "[a-z]+", description: A course}
  short:
    queue: short
    cores: 4
    memory: 16 GiB
    walltime: "01:00:00"
    max_walltime: "02:00:00"
    account: none
  casper:
    scheduler: casper
    queue: casper
    cores: 4
    memory: 16 GiB
    max_gpus: 2
    walltime: "01:00:00"
    max_walltime: "24:00:00"
    account: required
  batch: {cores: 1, memory: 1 GiB, walltime: "01:00:00", uses: [batch]}
environments:
  pangeo: {prefix: /opt/pangeo, description: Xarray and more, default: true}
  old: {prefix: /opt/old}
hub:
  url: https://hub.example
  connect_url: http://10.0.0.5:8081
  allowed_groups: [climate]
"""


def site(folder: Path, text: str = SITE) -> Site:
    """Return the site."""
    path = folder / "alpha.yaml"
    path.write_text(text)
    return load_site(path, environ={"HOME": str(folder), "PATH": ""})


def person(folder: Path) -> Person:
    """Return who asks."""
    return Person("alice", 1001, 1001, "science", folder)
