"""Catalogs of datasets: those of the site by name, others by where they are."""

from pathlib import Path
from typing import Any

from pangeo_hpc import files
from pangeo_hpc.data.settings import StoreSettings, settings_of
from pangeo_hpc.data.stores import located, missing
from pangeo_hpc.errors import SiteNotFound, UsageError
from pangeo_hpc.site import Site, current_person, load_site
from pangeo_hpc.site.people import expand

_SUFFIXES = (".yaml", ".yml")


def open_catalog(name: str | Path, site: Site | str | Path | None = None) -> Any:
    """Return a catalog of the site by its name, or one by its path or address.

    It is intake's: ``list(cat)``, ``cat["gmet_v1"].to_dask()``. Entries that lie in one of the
    site's object stores are read with the store's credentials.

    Raise UnknownName for a name that the site does not have, UsageError if the catalog is not
    there or is none.
    """
    where, known = _find(name, site)
    stores = stores_of(known) if known else []
    try:
        from pangeo_hpc.data import intake_catalog
    except ImportError as error:
        raise missing(error, "a catalog") from error
    return intake_catalog.read(located(where, stores)[0], stores)


def is_place(name: str | Path) -> bool:
    """Tell whether a catalog is meant by where it is, rather than by a name of the site."""
    return isinstance(name, Path) or "/" in name or name.endswith(_SUFFIXES)


def _find(name: str | Path, site: Site | str | Path | None) -> tuple[str, Site | None]:
    """Return where a catalog is, and the site; one that is named by its place needs none."""
    try:
        known = site if isinstance(site, Site) else load_site(site)
    except SiteNotFound:
        if site is not None or not is_place(name):
            raise
        known = None
    if known and isinstance(name, str) and name in {each.name for each in known.catalogs}:
        person = known.with_defaults(current_person())
        key = f"catalogs.{name}.url"
        return _readable(expand(known.catalog(name).url, key, person)), known
    if not is_place(name):
        if known:
            known.catalog(str(name))
        raise UsageError(f"no catalog named {name}", hint="give a path, or an address")
    text = str(name)
    return _readable(text if "://" in text else str(Path(text).expanduser().absolute())), known


def _readable(where: str) -> str:
    """Return where a catalog is. Raise UsageError if it is a path at which nothing is."""
    if "://" in where:
        return where
    with files.refusals(Path(where)):
        if not Path(where).is_file():
            hint = "check catalogs in the site YAML, or the path"
            raise UsageError(f"catalog {where} is not there", hint=hint)
        Path(where).open("rb").close()
    return where


def stores_of(site: Site) -> list[StoreSettings]:
    """Return the site's stores as this person sees them; what cannot be filled in is left out."""
    found: list[StoreSettings] = []
    for name in site.object_stores:
        try:
            found.append(settings_of(site, name, current_person()))
        except UsageError:
            continue
    # the most specific first: of a bucket and a folder in it, the folder
    return sorted(found, key=lambda store: -len(store.root))
