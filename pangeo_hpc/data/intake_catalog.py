"""Intake's catalogs, whose entries find the site's stores."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import intake
from intake.catalog.base import VersionError
from intake.catalog.exceptions import CatalogException, ValidationError
from intake.catalog.local import LocalCatalogEntry, YAMLFileCatalog

from pangeo_hpc.data.settings import StoreSettings, from_options
from pangeo_hpc.data.stores import SCHEME, at_address, located
from pangeo_hpc.errors import EntryMissing, PangeoHpcError, UsageError

_HERE = re.compile(r"\{\{\s*CATALOG_DIR\s*\}\}")
# Where an entry says what it reads.
_PLACES = ("urlpath", "path", "url")
# Packages of intake's drivers that people meet in Pangeo's catalogs.
_PLUGINS = {
    "intake_esm": "intake-esm",
    "esm_datastore": "intake-esm",
    "parquet": "intake-parquet",
    "stac_catalog": "intake-stac",
    "thredds_cat": "intake-thredds",
    "geotiff": "intake-xarray",
}


class SiteCatalog(YAMLFileCatalog):
    """A catalog in intake's first format, which Pangeo's are written in; so are those below it."""

    def __init__(self, path: str, stores: Sequence[Any] = (), **options: Any) -> None:
        self._stores = [from_options(each) for each in stores]
        super().__init__(path, **options)

    def parse(self, text: str) -> None:
        """Read the entries, and fit each of them to the site."""
        super().parse(text)
        for entry in self._entries.values():
            if isinstance(entry, LocalCatalogEntry):
                self._fit(entry)

    def __getitem__(self, key: Any) -> Any:
        """Return an entry. Raise EntryMissing, or UsageError if what reads it is not installed."""
        try:
            return super().__getitem__(key)
        except KeyError as error:
            raise self._unknown(str(key)) from error
        except ValueError as error:
            if "No plugins loaded" not in str(error):
                raise
            entry = self._entries[key]
            raise _no_driver(str(key), str(entry._driver)) from error  # noqa: SLF001

    def _fit(self, entry: LocalCatalogEntry) -> None:
        # intake offers no other way to change what a file says
        arguments = dict(entry._open_args or {})  # noqa: SLF001
        driver = entry._driver  # noqa: SLF001
        for key in _PLACES:
            if key not in arguments or "storage_options" in arguments:
                continue
            place, store = self._placed(arguments[key])
            if store is not None:
                arguments[key] = place
                arguments["storage_options"] = {"settings": store.as_options()}
        if driver == "netcdf":
            _choose_engine(arguments)
        if driver == "yaml_file_cat":
            arguments["stores"] = [each.as_options() for each in self._stores]
            entry._plugin = [SiteCatalog]  # noqa: SLF001
        entry._open_args = arguments  # noqa: SLF001

    def _placed(self, place: Any) -> tuple[Any, StoreSettings | None]:
        """Return where an entry is as an address in one of the site's stores, if it is in one."""
        several = isinstance(place, list)
        found = [self._one(str(each)) for each in (place if several else [place])]
        stores = {store for _, store in found}
        if len(stores) != 1 or None in stores:
            return place, None
        places = [address for address, _ in found]
        return (places if several else places[0]), stores.pop()

    def _one(self, place: str) -> tuple[str, StoreSettings | None]:
        return located(_HERE.sub(str(self._dir).rstrip("/"), place), self._stores)

    def _unknown(self, key: str) -> EntryMissing:
        near = get_close_matches(key, list(self), 1)
        known = f"it has {', '.join(self)}" if len(self) else "it is empty"
        hint = f"did you mean {near[0]}?" if near else known
        return EntryMissing(f"catalog {self.name} has no entry {key}", hint=hint)


def read(where: str, stores: Sequence[StoreSettings]) -> Any:
    """Return the catalog at a path or an address. Raise UsageError if it is none."""
    options: dict[str, Any] = {}
    if where.startswith(f"{SCHEME}://"):
        options = {"settings": at_address(where).as_options()}
    known = [each.as_options() for each in stores]
    try:
        return SiteCatalog(where, stores=known, storage_options=options)
    except VersionError:
        return _second_format(where, stores, options)
    except PangeoHpcError:
        raise
    except FileNotFoundError as error:
        hint = "check catalogs in the site YAML, or the address"
        raise UsageError(f"catalog {where} is not there", hint=hint) from error
    except (ValidationError, CatalogException) as error:
        raise UsageError(f"{where} is no catalog: {error}", hint=_HINT) from error
    except Exception as error:
        if "yaml" not in type(error).__module__:
            raise
        raise UsageError(f"{where} cannot be read as YAML: {error}", hint=_HINT) from error


_HINT = "a catalog is a YAML file with `sources:`, each with a driver and args"


def whereabouts(source: Any) -> tuple[Any, dict[str, Any], bool]:
    """Return where an entry's data are, the options to open them with, and whether it is Zarr.

    The place is None for what is not opened from a place, such as a table in a database.
    """
    reader = getattr(source, "reader", source)
    arguments = (getattr(reader, "kwargs", None) or {}).get("args") or (None,)
    data = arguments[0]
    options = dict(getattr(data, "storage_options", None) or {})
    return getattr(data, "url", None), options, type(data).__name__ == "Zarr"


def _choose_engine(arguments: dict[str, Any]) -> None:
    """Name the engine of a NetCDF entry: intake-xarray 2.0 takes all of them for NetCDF 3."""
    places = arguments.get("urlpath")
    first = str(places[0] if isinstance(places, list) else places)
    remote = "://" in first and not first.startswith("file://")
    keywords = {"engine": "h5netcdf" if remote else "netcdf4"}
    arguments["xarray_kwargs"] = {**keywords, **(arguments.get("xarray_kwargs") or {})}


def _second_format(where: str, stores: Sequence[StoreSettings], options: dict[str, Any]) -> Any:
    """Return a catalog in intake's second format, its data fitted to the site."""
    catalog = intake.from_yaml_file(where, storage_options=options)
    folder = str(catalog.user_parameters["CATALOG_DIR"]).rstrip("/")
    for data in catalog.data.values():
        url = data.kwargs.get("url")
        if not isinstance(url, str) or data.kwargs.get("storage_options"):
            continue
        place, store = located(url.replace("{CATALOG_DIR}", folder), stores)
        if store is not None:
            data.kwargs["url"] = place
            data.kwargs["storage_options"] = {"settings": store.as_options()}
    return catalog


def _no_driver(key: str, driver: str) -> UsageError:
    package = _PLUGINS.get(driver.strip("[]'"))
    hint = f"pip install {package} in this environment" if package else "install its intake plugin"
    if driver.strip("[]'") in ("zarr", "netcdf", "opendap", "rasterio"):
        hint = "pip install 'pangeo-hpc[data]' in this environment"
    return UsageError(f"entry {key} needs the driver {driver}, which is not installed", hint=hint)
