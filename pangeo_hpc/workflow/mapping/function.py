"""What a function is: its name, its code, and what it takes from outside itself."""

import hashlib
import inspect
import re
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from pangeo_hpc.errors import UsageError
from pangeo_hpc.jobs.plan import NAME
from pangeo_hpc.workflow.mapping.items import Unknown, written


def name_of(function: Callable[..., Any], given: str | None) -> str:
    """Return the name of a map: the given one, else the function's; a lambda's is `lambda`.

    Raise UsageError if the given one cannot be the name of a folder.
    """
    inner = _inner(function)
    name = given if given is not None else str(getattr(inner, "__name__", type(inner).__name__))
    if not NAME.fullmatch(name):
        if given is None:
            return re.sub(r"[^A-Za-z0-9.-]", "", name)[:60].lstrip(".-") or "function"
        hint = "use letters, digits, dot, dash and underscore, at most 60"
        raise UsageError(f"{given!r} cannot be the name of a map", hint=hint)
    return name


def code_of(function: Callable[..., Any]) -> str:
    """Return a digest of where a function is written: its module, or what Python made of it.

    The script itself is digested apart, and a module may have many lambdas.
    """
    inner = _inner(function)
    module = getattr(inner, "__module__", None)
    name = f"{module}.{getattr(inner, '__qualname__', type(inner).__qualname__)}"
    source = None if module == "__main__" else _source(inner)
    code = getattr(inner, "__code__", None)
    if source is not None:
        own = f" {_digest_of_code(code)}" if code is not None and "<lambda>" in name else ""
        return f"{name} {_digest_of_file(source)}{own}"
    return f"{name} {_digest_of_code(code)}" if code is not None else name


def taken_by(function: Callable[..., Any]) -> dict[str, str]:
    """Return digests of the plain values that a function takes from outside itself.

    These are what it is bound to, the variables of functions around it, and the global variables
    that it and functions of the same module name. What has no digest, such as a dataset, is left
    out.
    """
    found: dict[str, str] = {}
    while isinstance(function, partial):
        _add(found, "bound", [*function.args, *sorted(function.keywords.items())])
        function = function.func
    if inspect.ismethod(function):
        _add(found, "self", function.__self__)
    elif not inspect.isroutine(function):
        _add(found, "self", function)
    inner = _inner(function)
    if isinstance(inner, types.FunctionType):
        for name, value in _outside(inner, set()):
            _add(found, name, value)
    return dict(sorted(found.items()))


def _inner(function: Callable[..., Any]) -> Any:
    while isinstance(function, partial):
        function = function.func
    return inspect.unwrap(getattr(function, "__func__", function))


def _add(found: dict[str, str], name: str, value: Any) -> None:
    try:
        text, surely = written(value)
    except Unknown:
        return
    if surely:
        found[name] = hashlib.sha256(text.encode()).hexdigest()[:16]


def _outside(function: types.FunctionType, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Return what a function and those of its module that it names take from outside."""
    if id(function) in seen:
        return
    seen.add(id(function))
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        with suppress(ValueError):  # a variable that has no value yet
            yield from _told("variable", name, cell.cell_contents, function, seen)
    for name in sorted(_names(function.__code__)):
        if name in function.__globals__:
            yield from _told("global", name, function.__globals__[name], function, seen)


def _told(
    kind: str, name: str, value: Any, function: types.FunctionType, seen: set[int]
) -> Iterator[tuple[str, Any]]:
    if isinstance(value, types.FunctionType):
        if value.__module__ == function.__module__:
            yield from _outside(value, seen)
    elif not isinstance(value, types.ModuleType | type) and _is_plain(value):
        yield f"{kind} {name}", value


def _names(code: types.CodeType) -> set[str]:
    """Return the names that code and the functions within it look up."""
    inner = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _is_plain(value: Any) -> bool:
    """Tell whether digesting a value reads nothing: datasets may be larger than the memory."""
    root = type(value).__module__.partition(".")[0]
    if root == "numpy":
        return True
    return root not in ("xarray", "dask", "distributed", "pandas", "pangeo_hpc")


def _source(function: Any) -> Path | None:
    try:
        found = inspect.getsourcefile(function)
    except TypeError:
        return None
    return Path(found) if found and Path(found).is_file() else None


@lru_cache(maxsize=64)
def _digest_of_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest_of_code(code: types.CodeType) -> str:
    """Return a digest of compiled code, that of functions within it included."""
    told = [code.co_code.hex(), code.co_names, code.co_varnames]
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            told.append(_digest_of_code(each))
        elif isinstance(each, frozenset):
            told.append(sorted(map(repr, each)))
        else:
            told.append(repr(each))
    return hashlib.sha256(repr(told).encode()).hexdigest()
