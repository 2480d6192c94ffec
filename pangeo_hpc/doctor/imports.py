"""Import modules and say their versions: `python -m pangeo_hpc.doctor.imports MODULE…`.

It runs with the Python of an environment and prints one line, which other lines may precede.
"""

import importlib
import json
import sys
from collections.abc import Iterable
from typing import Any

MARK = "pangeo-hpc-doctor: "

# What users of an environment need beside this package, and what it is for.
NEEDED = {
    "dask": "Dask workers",
    "distributed": "Dask workers",
    "xarray": "workflows",
    "zarr": "workflows",
}


def look(names: Iterable[str]) -> dict[str, Any]:
    """Return the versions of modules, and why the others cannot be imported."""
    versions: dict[str, str] = {}
    broken: dict[str, str] = {}
    for name in names:
        try:
            module = importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever a module does when it is imported
            broken[name] = f"{type(error).__name__}: {error}"
        else:
            versions[name] = str(getattr(module, "__version__", ""))
    return {"python": sys.version.split()[0], "versions": versions, "broken": broken}


def parse(text: str) -> dict[str, Any] | None:
    """Return what such a program printed; None if it did not come so far."""
    for line in reversed(text.splitlines()):
        if line.startswith(MARK):
            found: dict[str, Any] = json.loads(line.removeprefix(MARK))
            return found
    return None


if __name__ == "__main__":
    sys.stdout.write(f"\n{MARK}{json.dumps(look(sys.argv[1:]))}\n")
