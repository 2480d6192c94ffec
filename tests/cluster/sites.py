"""The site YAML of the test cluster, as its administrator would write it."""

from pathlib import Path

SITE = """\
name: testcluster
description: Five nodes on one machine
scheduler: slurm
user_state: {state}
login_hosts: [localhost]
node_types:
  compute:
    default: true
    description: Part of a node
    queue: compute
    cores: 2
    max_cores: 8
    memory: 1500 MiB
    max_memory: 7000 MiB
    walltime: "00:10:00"
    max_walltime: "01:00:00"
    max_nodes: 4
    max_jobs: 20
    interface: lo
    dask: {{processes: 1, threads: 2}}
    options:
      begin: {{directive: "--begin={{value}}", pattern: "now\\\\+[0-9]+"}}
  short:
    description: For a minute or two
    queue: short
    cores: 1
    memory: 1 GiB
    walltime: "00:01:00"
    max_walltime: "00:02:00"
  down:
    description: A queue whose only node is down
    queue: broken
    cores: 1
    memory: 1 GiB
    walltime: "00:01:00"
scratch:
  scratch:
    path: {scratch}/{{user}}
    purge: {{after: 60 days, by: newest, enforced_by: site}}
"""


def write_site(path: Path, *, scratch_root: Path, state: str = "~/.local/state/pangeo-hpc") -> Path:
    """Write the cluster's site YAML, readable by everybody, and return its path."""
    path.write_text(SITE.format(scratch=scratch_root, state=state))
    path.chmod(0o644)
    return path
