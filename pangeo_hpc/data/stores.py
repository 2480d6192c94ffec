"""Object stores of a site as filesystems."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pangeo_hpc.data import credentials
from pangeo_hpc.data.settings import StoreSettings, settings_of
from pangeo_hpc.errors import UsageError
from pangeo_hpc.site import Site, current_person, load_site

if TYPE_CHECKING:
    from pangeo_hpc.data.filesystem import StoreFileSystem

# How a dataset in a store of the site is written as an address, as in pangeohpc://archive/x.zarr.
SCHEME = "pangeohpc"
# What an extra installs, by the module that is missing without it.
_EXTRAS = {"fsspec": "workflow", "s3fs": "data", "gcsfs": "data", "aiohttp": "data"}
# Stores that this process has opened, so that an address is of the site they were opened from.
_opened: dict[str, StoreSettings] = {}


def object_store(name: str, site: Site | str | Path | None = None) -> "StoreFileSystem":
    """Return the fsspec filesystem of one of the site's object stores.

    Its paths begin at the store's bucket: ``fs.ls("")``, ``fs.get_mapper("x.zarr")``. It can be
    sent to Dask workers, which read the credentials themselves: no secret travels with it.

    Raise UnknownName for a store that the site does not have, CredentialsRefused where the
    credentials are not there, have no such profile, or can be read by others.
    """
    return open_store(settings(name, site))


def settings(name: str, site: Site | str | Path | None = None) -> StoreSettings:
    """Return what is known of one of the site's object stores. Raise UnknownName."""
    loaded = site if isinstance(site, Site) else load_site(site)
    return settings_of(loaded, name, current_person())


def open_store(store: StoreSettings, *, asynchronous: bool = False) -> "StoreFileSystem":
    """Return the filesystem of a store. Raise UsageError if what it needs is not installed."""
    # each time: fsspec may have this store already
    credentials.check(store)
    try:
        from pangeo_hpc.data.filesystem import StoreFileSystem

        opened = StoreFileSystem(settings=store.as_options(), asynchronous=asynchronous)
    except ImportError as error:
        raise missing(error, f"a store of protocol {store.protocol}") from error
    _opened[store.name] = store
    return opened


def at_address(url: str) -> StoreSettings:
    """Return the store of an address such as ``pangeohpc://archive/x.zarr``. Raise UnknownName."""
    name = url.removeprefix(f"{SCHEME}://").split("/", 1)[0]
    known = _opened.get(name)
    return known.fresh() if known else settings(name)


def address(store: StoreSettings, key: str) -> str:
    """Return the address of something in a store, which is known by it from now on."""
    _opened[store.name] = store
    return f"{SCHEME}://{store.name}/{key}".rstrip("/")


def located(url: str, stores: Sequence[StoreSettings]) -> tuple[str, StoreSettings | None]:
    """Return an address as that of the site's store that it lies in, and the store."""
    if url.startswith(f"{SCHEME}://"):
        name, _, below = url.removeprefix(f"{SCHEME}://").partition("/")
        for store in stores:
            if store.name == name:
                return address(store, below), store
        return url, at_address(url)
    for store in stores:
        key = store.holds(url)
        if key is not None:
            return address(store, key), store
    return url, None


def missing(error: ImportError, what: str) -> UsageError:
    """Return the error that names what to install."""
    package = (error.name or "").split(".")[0]
    if package in _EXTRAS:
        hint = f"pip install 'pangeo-hpc[{_EXTRAS[package]}]' in this environment"
    else:
        hint = f"pip install {package or 'it'} in this environment"
    return UsageError(f"{what} needs a package that is not installed: {package}", hint=hint)
