"""The Python that runs the server: ours, else the environment's, else a clear error."""

import json
import sys
from pathlib import Path

import pytest

from pangeo_hpc import envs
from pangeo_hpc.errors import CommandMissing, UnknownName, UsageError
from pangeo_hpc.lab import python
from pangeo_hpc.run import Command, Result, run
from pangeo_hpc.site import Person, Site, load_site

ENVIRONMENTS = """\
name: alpha
scheduler: local
node_types:
  one: {{cores: 1, memory: 1 GiB, walltime: "01:00:00"}}
environments:
  science: {{prefix: {prefix}, default: true}}
  unbuilt: {{spec: env.yml, root: /opt/envs}}
"""


@pytest.fixture
def two(tmp_path: Path) -> Site:
    (tmp_path / "env.yml").write_text("name: x\n")
    path = tmp_path / "two.yaml"
    path.write_text(ENVIRONMENTS.format(prefix=sys.prefix))
    return load_site(path, environ={"HOME": str(tmp_path), "PATH": ""})


def says(**told: object) -> Result:
    return Result((), 0, stdout=json.dumps({"missing": [], "version": "0.1.0", **told}))


def test_the_running_one_first(two: Site, person: Person) -> None:
    """Where pangeo-hpc is installed with JupyterLab, that runs, whatever the environment is."""
    assert python.has_lab()
    found = python.choose(two, person, "science")
    assert (found.name, found.python) == (envs.CURRENT, Path(sys.executable))


def test_a_broken_default_does_not_matter_then(two: Site, person: Person) -> None:
    """Only one that was asked for by name is an error; it is no reason to run no server."""
    other = two.model_copy(update={"defaults": two.defaults.model_copy(
        update={"environment": "unbuilt"})})  # fmt: skip
    assert python.choose(other, person, None).name == envs.CURRENT
    with pytest.raises(UsageError, match="not built"):
        python.choose(two, person, "unbuilt")
    with pytest.raises(UnknownName, match="did you mean science"):
        python.choose(two, person, "scince")


def test_the_environment_s_own(two: Site, person: Person) -> None:
    """It is asked for real; nothing is imported but this package."""
    found = python.choose(two, person, None, here=False, runner=run)
    assert (found.name, found.python) == ("science", Path(sys.prefix) / "bin" / "python")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (says(missing=["jupyterlab", "jupyter_server"]), "no jupyterlab and no jupyter_server"),
        (says(version=None), "has no pangeo_hpc, and 0.1 is needed"),
        (says(version="0.7.3"), "has pangeo_hpc 0.7.3, and 0.1 is needed"),
        (Result((), 1, stderr="Traceback\nImportError: libffi.so.8\n"), "libffi.so.8"),
        (CommandMissing("python: command not found"), "is not there"),
    ],
    ids=["no lab", "not we", "another version", "broken", "gone"],
)
def test_neither(two: Site, person: Person, answer: Result | CommandMissing, reason: str) -> None:
    """The error says what is missing where, and how to install it."""

    def asked(command: Command) -> Result:
        if isinstance(answer, CommandMissing):
            raise answer
        return answer

    with pytest.raises(UsageError, match=rf"(?s)science cannot run it.*{reason}.*pip install"):
        python.choose(two, person, None, here=False, runner=asked)


def test_no_environment_to_fall_back_to(site: Site, person: Person) -> None:
    """A site that names none has only the running Python."""
    with pytest.raises(UsageError, match=r"(?s)has no JupyterLab\nhint: .*pip install"):
        python.choose(site, person, None, here=False)
