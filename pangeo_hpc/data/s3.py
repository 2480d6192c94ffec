"""S3 with credentials by reference, and with errors that say what to do."""

from collections.abc import Mapping
from typing import Any

from aiobotocore.session import AioSession
from fsspec.asyn import sync_wrapper
from s3fs import S3FileSystem

from pangeo_hpc.data.credentials import section
from pangeo_hpc.data.refusals import explained, is_wordless
from pangeo_hpc.data.settings import from_options

# s3fs asks so often, and botocore so often each time.
ATTEMPTS, INNER_ATTEMPTS = 3, 2


class SiteS3FileSystem(S3FileSystem):
    """S3 as one of the site's object stores.

    The keys are read by botocore and are no argument of it: fsspec pickles the arguments.
    """

    retries = ATTEMPTS

    def __init__(self, settings: Mapping[str, Any], **options: Any) -> None:
        store = from_options(settings)
        client = {"region_name": store.region, "verify": store.ca_bundle}
        super().__init__(
            anon=store.anonymous,
            endpoint_url=store.endpoint,
            client_kwargs={key: value for key, value in client.items() if value is not None},
            config_kwargs={
                "connect_timeout": min(store.timeout, 10.0),
                "read_timeout": store.timeout,
                "retries": {"mode": "standard", "total_max_attempts": INNER_ATTEMPTS},
                # many stores that are not Amazon's refuse its newer checksums
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
            },
            **options,
        )
        self.store = store
        if store.credentials is not None:
            self.session = AioSession(profile=section(store))
            self.session.set_config_variable("credentials_file", store.credentials)
            self._session_is_owned = False

    async def _call_s3(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """Ask the store. Raise an error of ours for whatever the user can change."""
        try:
            return await super()._call_s3(method, *arguments, **keywords)
        except Exception as error:
            told = error
            if method.startswith("head_") and is_wordless(error):
                # a refused HEAD has no body that says why; a listing has
                told = await self._why(error)
            problem = explained(self.store, told)
            if problem is None:
                raise
            raise problem from error

    # what a file of it is read through
    call_s3 = sync_wrapper(_call_s3)

    async def _why(self, error: Exception) -> Exception:
        try:
            await super()._call_s3("list_objects_v2", Bucket=self.store.bucket, MaxKeys=1)
        except Exception as known:  # noqa: BLE001 - whatever it is, it is told
            return known
        return error
