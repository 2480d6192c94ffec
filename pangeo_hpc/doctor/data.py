"""What can be reached of the data that the site YAML names: object stores and catalogs."""

from collections.abc import Callable, Iterator
from functools import partial

from pangeo_hpc.data import reach
from pangeo_hpc.doctor.facts import Failure, Reached
from pangeo_hpc.errors import CredentialsRefused, PangeoHpcError
from pangeo_hpc.site import Site


def find_data(site: Site, say: Callable[[str], object]) -> Iterator[Reached]:
    """Yield each object store and each catalog of a site, with what became of a question."""
    for name in site.object_stores:
        say(f"asking object store {name}…")
        yield _reached(f"object_stores.{name}", partial(reach.try_store, site, name))
    for number, catalog in enumerate(site.catalogs):
        say(f"reading catalog {catalog.name}…")
        yield _reached(f"catalogs[{number}]", partial(reach.try_catalog, site, catalog.name))


def _reached(key: str, ask: Callable[[], int | None]) -> Reached:
    try:
        return Reached(key=key, entries=ask())
    except CredentialsRefused as error:
        return Reached(key=key, failure=Failure.of(error), credentials=True)
    except PangeoHpcError as error:
        return Reached(key=key, failure=Failure.of(error))
