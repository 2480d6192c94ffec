"""Inputs that are not below scratch: at an address, in an object store, or in a catalog."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pangeo_hpc.data.settings import StoreSettings
from pangeo_hpc.errors import CredentialsRefused, PangeoHpcError, SiteNotFound, UsageError
from pangeo_hpc.site import Site
from pangeo_hpc.workflow.inputs import ROOTS, refuse_unfinished


def admit(
    url: str, stores: Sequence[StoreSettings], options: Mapping[str, Any] | None
) -> tuple[Any, str]:
    """Return what opens an address, and its identity.

    An address in one of the site's stores becomes one that is read with the store's credentials;
    one with options becomes a mapper. Raise UsageError if nothing is there, or an unfinished store.
    """
    place, store = _in_a_store(url, stores)
    try:
        fs, path = _opened(place, {} if store else dict(options or {}))
        identity = _identify(url, fs, path)
    except PangeoHpcError:
        raise
    except PermissionError as error:
        hint = "name its store in object_stores of the site YAML, or give storage_options"
        raise CredentialsRefused(f"input {url} may not be read: {error}", hint=hint) from error
    except Exception as error:
        hint = "check the address, and whether it needs storage_options, such as anon=True"
        raise UsageError(f"input {url} cannot be looked at: {error}", hint=hint) from error
    if options and store is None:
        return fs.get_mapper(path), identity
    return place, identity


def entry_of(name: str, site: Callable[[], Site]) -> Any:
    """Return the entry that ``catalog/entry`` or ``catalog:entry`` names, None if it names none.

    Entries of catalogs in it follow: ``pangeo/climate/gmet_v1``. Raise UnknownName for an entry
    that a catalog of the site does not have.
    """
    first, *rest = name.replace(":", "/").split("/")
    try:
        known = site()
    except SiteNotFound:
        return None
    if not rest or first not in {each.name for each in known.catalogs}:
        return None
    from pangeo_hpc.data import open_catalog

    here = open_catalog(first, known)
    for step in rest:
        here = here[step]
    return here


def place_of(name: str, entry: Any) -> tuple[str, dict[str, Any]]:
    """Return the path or the address of an entry's data, and the options to open them with.

    Raise UsageError for an entry that is a catalog, several files, or nothing that has a place.
    """
    from pangeo_hpc.data.intake_catalog import whereabouts

    place, options, zarr = whereabouts(entry)
    if place is None and hasattr(entry, "items"):
        hint = f"add one of its entries: {', '.join(list(entry)[:10])}"
        raise UsageError(f"input {name} is a catalog", hint=hint)
    if not isinstance(place, str) or "*" in place:
        hint = "open it with pangeo_hpc.open_catalog, and read it with to_dask()"
        raise UsageError(f"input {name} is not one file or store", hint=hint)
    if set(options) <= {"settings"}:
        # an address in a store of the site needs none
        return place, {}
    if not zarr:
        hint = "open it with pangeo_hpc.open_catalog, and read it with to_dask()"
        raise UsageError(f"input {name} needs options that no address can hold", hint=hint)
    return place, options


def _in_a_store(url: str, stores: Sequence[StoreSettings]) -> tuple[str, StoreSettings | None]:
    from pangeo_hpc.data.stores import located

    return located(url, stores)


def _opened(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the filesystem of an address, and the path on it."""
    from pangeo_hpc.data.stores import missing

    try:
        from fsspec.core import url_to_fs

        fs, path = url_to_fs(url, **options)
    except ImportError as error:
        raise missing(error, f"input {url}") from error
    fs.invalidate_cache()
    return fs, str(path)


def _identify(url: str, fs: Any, path: str) -> str:
    """Return what tells whether an input was replaced. Raise UsageError if it is not there.

    As on a disk, it is the root metadata of a Zarr store; of a file it is what the server calls
    its version.
    """
    for name in ROOTS:
        try:
            content = fs.cat_file(f"{path.rstrip('/')}/{name}")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            continue
        except Exception as error:
            # web servers have many ways to say that there is nothing below a file
            if type(error).__name__ != "ClientResponseError":
                raise
            continue
        _refuse_unfinished(url, content)
        return hashlib.sha256(content).hexdigest()
    try:
        info = fs.info(path)
    except FileNotFoundError as error:
        hint = "check the address; nothing is there"
        raise UsageError(f"input {url} is not there", hint=hint) from error
    if info.get("type") == "directory":
        return "directory"
    version = next((info[key] for key in _VERSIONS if info.get(key)), "")
    return f"{info.get('size')} bytes, {version}"


# What stores call the version of an object: S3 and HTTP, Google, Azure, a disk.
_VERSIONS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "mtime", "created")


def _refuse_unfinished(url: str, content: bytes) -> None:
    try:
        told = json.loads(content)
    except ValueError:
        return
    if isinstance(told, dict):
        refuse_unfinished(url, told.get("attributes") or {})
