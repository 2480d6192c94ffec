"""The filesystem of an object store: its paths begin at the bucket, and it holds no secret."""

from collections.abc import Mapping
from typing import Any

from fsspec import AbstractFileSystem, register_implementation
from fsspec.implementations.dirfs import DirFileSystem

from pangeo_hpc.data import credentials
from pangeo_hpc.data.settings import StoreSettings, from_options
from pangeo_hpc.data.stores import SCHEME, at_address


class StoreFileSystem(DirFileSystem):
    """An object store of a site.

    What it is made from, and so what is pickled or written as JSON, is where the credentials are.
    """

    protocol = SCHEME

    def __init__(
        self, settings: Mapping[str, Any] | None = None, address: str | None = None, **options: Any
    ) -> None:
        self.store = from_options(settings) if settings else at_address(str(address))
        credentials.check(self.store)
        super().__init__(path=self.store.root, fs=_inner(self.store, options), **options)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """Return a path below the bucket, of such a path or of an address."""
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        text = str(path)
        if text.startswith(f"{SCHEME}://"):
            text = text.removeprefix(f"{SCHEME}://").partition("/")[2]
        return text.strip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        """Return what a store is opened with, for fsspec and xarray that were given an address.

        It is another once the credentials are, since fsspec keeps what it has opened.
        """
        store = at_address(path)
        return {"address": f"{SCHEME}://{store.name}/{store.state}"}

    @property
    def storage_options(self) -> dict[str, Any]:
        """Return what another process makes the same filesystem from; it knows no site."""
        return {**self._running, "settings": self.store.as_options()}

    @storage_options.setter
    def storage_options(self, given: Mapping[str, Any]) -> None:
        self._running = {
            key: value for key, value in given.items() if key not in ("settings", "address")
        }

    @classmethod
    def _parent(cls, path: str) -> str:
        """Return the folder of a path; that of an address is one too."""
        if not str(path).startswith(f"{SCHEME}://"):
            return str(super()._parent(path))
        name, _, below = str(path).removeprefix(f"{SCHEME}://").strip("/").partition("/")
        return f"{SCHEME}://{name}/{below.rpartition('/')[0]}".rstrip("/")

    def unstrip_protocol(self, name: str) -> str:
        """Return the address of a path."""
        return f"{SCHEME}://{self.store.name}/{self._strip_protocol(name)}".rstrip("/")

    def __repr__(self) -> str:
        return f"<{self.store.shown}>"


def _inner(store: StoreSettings, options: Mapping[str, Any]) -> AbstractFileSystem:
    """Return the filesystem of the protocol; `options` are how it is to run."""
    running = {key: options[key] for key in ("asynchronous", "loop") if key in options}
    if store.protocol == "s3":
        from pangeo_hpc.data.s3 import SiteS3FileSystem

        return SiteS3FileSystem(settings=store.as_options(), **running)
    if store.protocol == "gs":
        from pangeo_hpc.data.gcs import SiteGCSFileSystem

        return SiteGCSFileSystem(settings=store.as_options(), **running)
    if store.protocol in ("http", "https"):
        from pangeo_hpc.data.web import SiteHTTPFileSystem

        return SiteHTTPFileSystem(settings=store.as_options(), **running)
    if store.protocol == "file":
        from fsspec.implementations.local import LocalFileSystem

        local = LocalFileSystem(auto_mkdir=True)
        if not running.get("asynchronous"):
            return local
        from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

        return AsyncFileSystemWrapper(local, asynchronous=True)
    from adlfs import AzureBlobFileSystem

    return AzureBlobFileSystem(anon=store.anonymous, **running)


register_implementation(SCHEME, StoreFileSystem, clobber=True)
