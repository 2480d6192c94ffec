"""What is known of an object store: all that another process needs, and never a secret."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pangeo_hpc.site import Person, Site
from pangeo_hpc.site.people import expand, expand_path

# Where libraries look for credentials that no file of ours names.
_VARIABLES = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"),
    *("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "GOOGLE_APPLICATION_CREDENTIALS"),
)
# Of this process alone, so that nobody can try values against what is made with it.
_SALT = secrets.token_bytes(16)

SCHEMES = {"s3": ("s3", "s3a"), "gs": ("gs", "gcs"), "abfs": ("abfs", "az")}


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """An object store of a site, for one person.

    `root` is a bucket and perhaps a folder in it, a directory, or an address. `credentials` is the
    path of a file. `state` is another once the credentials are: fsspec keeps what it has opened.
    `timeout` is in seconds.
    """

    name: str
    protocol: str
    root: str
    endpoint: str | None = None
    ca_bundle: str | None = None
    region: str | None = None
    credentials: str | None = None
    profile: str | None = None
    anonymous: bool = False
    timeout: float = 30.0
    state: str | None = None

    @property
    def shown(self) -> str:
        """Return the store as errors call it: its name, where it is, and its bucket."""
        where = self.endpoint or {"s3": "Amazon S3", "gs": "Google Cloud Storage"}.get(
            self.protocol
        )
        places = [where, f"bucket {self.bucket}" if self.bucket else self.root]
        return f"object store {self.name} ({', '.join(dict.fromkeys(filter(None, places)))})"

    @property
    def bucket(self) -> str | None:
        """Return the bucket alone, None for a store that has none."""
        return self.root.split("/", 1)[0] if self.protocol in SCHEMES else None

    def holds(self, url: str) -> str | None:
        """Return what an address is called within this store, None if it lies elsewhere."""
        if self.protocol in SCHEMES:
            roots = [f"{scheme}://{self.root}" for scheme in SCHEMES[self.protocol]]
        elif self.protocol == "file":
            roots = [f"file://{self.root}"]
        else:
            roots = [self.root]
        for root in roots:
            whole = root.rstrip("/")
            if url == whole or url.startswith(f"{whole}/"):
                return url[len(whole) :].strip("/")
        return None

    def fresh(self) -> "StoreSettings":
        """Return the same store, with the credentials as they are now."""
        return replace(self, state=_state(self.credentials, os.environ))

    def as_options(self) -> dict[str, Any]:
        """Return the settings as JSON, those that are not set left out."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def settings_of(site: Site, name: str, person: Person) -> StoreSettings:
    """Return what a site says of a store, filled in for a person.

    Raise UnknownName for a store that the site does not have, UsageError for a placeholder that
    has no value.
    """
    entry = site.object_store(name)
    who, key = site.with_defaults(person), f"object_stores.{name}"
    if entry.protocol in SCHEMES:
        root = expand(entry.bucket or "", f"{key}.bucket", who).strip("/")
    elif entry.protocol == "file":
        root = str(expand_path(entry.path or "", f"{key}.path", who))
    else:
        root = (entry.endpoint_url or "").rstrip("/")
    credentials = entry.credentials and str(
        expand_path(entry.credentials, f"{key}.credentials", who)
    )
    return StoreSettings(
        name=name,
        protocol=entry.protocol,
        root=root,
        endpoint=entry.endpoint_url,
        ca_bundle=None if entry.ca_bundle is None else str(entry.ca_bundle),
        region=entry.region,
        credentials=credentials,
        profile=entry.profile,
        anonymous=entry.anonymous,
        timeout=entry.timeout.total_seconds(),
    ).fresh()


def from_options(options: Mapping[str, Any]) -> StoreSettings:
    """Return the settings that `as_options` gave."""
    return StoreSettings(**options)


def _state(path: str | None, environ: Mapping[str, str]) -> str | None:
    """Return what is another once the credentials are others, and tells nothing of them."""
    if path is None:
        held = "\n".join(f"{name}={environ.get(name)}" for name in _VARIABLES)
        return blake2b(held.encode(), key=_SALT, digest_size=8).hexdigest()
    try:
        return str(Path(path).stat().st_mtime_ns)
    except OSError:
        return None
