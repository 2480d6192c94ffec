"""A web server as a store, with errors that say what to do."""

from collections.abc import Awaitable, Mapping
from typing import Any

from aiohttp import ClientTimeout
from fsspec.implementations.http import HTTPFileSystem

from pangeo_hpc.data.refusals import explained
from pangeo_hpc.data.settings import from_options


class SiteHTTPFileSystem(HTTPFileSystem):
    """A web server as one of the site's object stores: it is read without credentials."""

    def __init__(self, settings: Mapping[str, Any], **options: Any) -> None:
        self.store = from_options(settings)
        limit = ClientTimeout(
            total=None, sock_connect=self.store.timeout, sock_read=self.store.timeout
        )
        super().__init__(client_kwargs={"timeout": limit}, **options)

    async def _cat_file(self, url: str, *arguments: Any, **keywords: Any) -> Any:
        return await self._told(super()._cat_file(url, *arguments, **keywords))

    async def _info(self, url: str, *arguments: Any, **keywords: Any) -> Any:
        return await self._told(super()._info(url, *arguments, **keywords))

    async def _ls(self, url: str, *arguments: Any, **keywords: Any) -> Any:
        return await self._told(super()._ls(url, *arguments, **keywords))

    async def _told(self, answer: Awaitable[Any]) -> Any:
        try:
            return await answer
        except Exception as error:
            # info calls everything missing, and keeps the reason as the cause
            cause = error.__cause__
            told = cause if isinstance(cause, Exception) else error
            problem = explained(self.store, told)
            if problem is None:
                raise
        # without its cause, which holds what cannot be pickled: workers send errors on
        raise problem
