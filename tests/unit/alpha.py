"""The site alpha, as the tests of several rooms know it."""

from pathlib import Path

SITE = """\
name: alpha
scheduler: slurm
user_state: {state}/{{user}}
node_types:
  shared:
    default: true
    queue: shared
    cores: 2
    max_cores: 8
    memory: 4 GiB
    max_memory: 16 GiB
    walltime: "01:00:00"
    max_walltime: "04:00:00"
    options:
      reservation: {{directive: "--reservation={{value}}", pattern: "[a-z]+"}}
{shared}  batch: {{cores: 1, memory: 1 GiB, walltime: "01:00:00", uses: [batch]}}
{more}"""


def alpha(state: Path, *, shared: str = "", more: str = "") -> str:
    """Return its YAML: `shared` are more lines of that node type, `more` is what follows."""
    return SITE.format(state=state, shared=shared, more=more)
