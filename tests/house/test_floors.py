"""Imports only go down, never sideways between rooms; heavy libraries stay in their rooms."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "pangeo_hpc"

FLOORS = [
    {"errors", "units", "files", "machine", "private", "processes", "run", "texts", "_version"},
    # server: what a notebook server on a node is known by, for hub and lab alike
    {"site", "schedulers", "server"},
    {"allocation"},
    {"jobs", "localqueue"},
    {"envs", "scratch", "data"},
    {"dask", "hub", "lab"},
    {"workflow"},
    {"doctor", "detect", "testing", "demo"},
    {"cli"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Floor 0 is one room of small files that may use one another, as long as there is no circle.
GROUND = FLOORS[0]

ONLY_IN = {
    "yaml": {"site"},
    "dask": {"dask", "workflow", "demo"},
    "distributed": {"dask", "workflow", "demo"},
    "dask_jobqueue": {"dask"},
    "jupyterhub": {"hub"},
    "batchspawner": {"hub"},
    "wrapspawner": {"hub"},
    "traitlets": {"hub"},
    "tornado": {"server", "lab", "hub"},
    "jupyter_server": {"server", "lab", "hub"},
    "subprocess": {"run", "localqueue", "dask", "workflow"},
}

MODULES = sorted(PACKAGE.rglob("*.py"))
PORCH = {PACKAGE / "__init__.py", PACKAGE / "__main__.py"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[str]:
    """Yield the full name of everything a module imports, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def faults(path: Path) -> Iterator[str]:
    room = room_of(path)
    for name in imports(path):
        top, *rest = name.split(".")
        if room not in ONLY_IN.get(top, {room}):
            yield f"{path.relative_to(PACKAGE)} imports {top}, which belongs to {ONLY_IN[top]}"
        if top != "pangeo_hpc" or not rest:
            continue
        other = rest[0]
        if other in ("__version__", room) or {room, other} <= GROUND:
            continue
        if FLOOR[other] >= FLOOR[room]:
            yield f"{path.relative_to(PACKAGE)} (floor {FLOOR[room]}) imports {name}"


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p not in PORCH], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_go_down(path: Path) -> None:
    """No module imports from its own floor's other rooms, or from above."""
    assert list(faults(path)) == []


def test_a_fault_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: going up, going sideways, and a library out of its room."""
    bad = PACKAGE / "schedulers" / "imagined.py"
    text = "from pangeo_hpc.site import Site\nimport pangeo_hpc.jobs\nimport yaml\n"
    monkeypatch.setattr(Path, "read_text", lambda self, *a, **k: text)
    assert len(list(faults(bad))) == 3


def test_only_the_face_prints() -> None:
    """Only cli/ and the installed entry programs print or exit."""
    # programs of their own, and one that is loaded into Dask's worker programs
    allowed = {PACKAGE / "localqueue" / "__main__.py", PACKAGE / "dask" / "watch.py"}
    # programs of their own too: they act as a user, and run in a job
    allowed |= {PACKAGE / "hub" / "job.py", PACKAGE / "hub" / "singleuser.py"}
    found = []
    for path in MODULES:
        if room_of(path) == "cli" or path in PORCH | allowed:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                text = ast.unparse(node.func)
                if text in ("print", "exit", "quit", "sys.exit", "os._exit", "click.echo"):
                    found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: {text}")
    assert found == []
