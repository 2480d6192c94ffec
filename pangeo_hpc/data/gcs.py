"""Google Cloud Storage with credentials by reference, and with errors that say what to do."""

from collections.abc import Mapping
from typing import Any

from fsspec.asyn import sync_wrapper

# not gcsfs.GCSFileSystem, which asks over gRPC what kind of bucket it is before anything else
from gcsfs.core import GCSFileSystem

from pangeo_hpc.data.refusals import explained
from pangeo_hpc.data.settings import from_options


class SiteGCSFileSystem(GCSFileSystem):
    """Google Cloud Storage as one of the site's object stores; it is given a path, never a key."""

    def __init__(self, settings: Mapping[str, Any], **options: Any) -> None:
        self.store = from_options(settings)
        token = "anon" if self.store.anonymous else self.store.credentials
        super().__init__(
            token=token,
            endpoint_url=self.store.endpoint,
            requests_timeout=self.store.timeout,
            **options,
        )

    async def _call(self, method: str, path: str, *arguments: Any, **keywords: Any) -> Any:
        """Ask the store. Raise an error of ours for whatever the user can change."""
        try:
            return await super()._call(method, path, *arguments, **keywords)
        except Exception as error:
            problem = explained(self.store, error)
            if problem is None:
                raise
        # without its cause, which may hold what cannot be pickled: workers send errors on
        raise problem

    call = sync_wrapper(_call)
