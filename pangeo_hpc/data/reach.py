"""Whether a store or a catalog of the site can be used at all, at the price of one question."""

from pathlib import Path

from pangeo_hpc.data.catalogs import open_catalog
from pangeo_hpc.data.stores import open_store, settings
from pangeo_hpc.errors import PangeoHpcError, UsageError
from pangeo_hpc.site import Site

# Nothing of this name is anywhere: that it is not there is an answer.
_NOTHING = ".pangeo-hpc-doctor"


def try_store(site: Site, name: str) -> None:
    """Ask a store of the site for something. Raise an error of ours if it does not answer."""
    store = settings(name, site)
    if store.protocol == "file":
        if not Path(store.root).is_dir():
            hint = f"create it, or correct object_stores.{name}.path"
            raise UsageError(f"{store.shown} is not there", hint=hint)
        return
    fs = open_store(store)
    try:
        fs.info(_NOTHING)
    except FileNotFoundError:
        return
    except PangeoHpcError:
        raise
    except Exception as error:
        hint = f"check object_stores.{name} of the site YAML"
        raise UsageError(f"{store.shown} cannot be used: {error}", hint=hint) from error


def try_catalog(site: Site, name: str) -> int:
    """Return how many entries a catalog of the site has. Raise an error of ours if it is none."""
    try:
        return len(list(open_catalog(name, site)))
    except PangeoHpcError:
        raise
    except Exception as error:
        hint = "check its url in catalogs of the site YAML"
        raise UsageError(f"catalog {name} cannot be read: {error}", hint=hint) from error
