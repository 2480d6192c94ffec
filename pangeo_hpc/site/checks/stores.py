"""Checks of data that lie elsewhere: object stores and catalogs."""

import re
from urllib.parse import parse_qsl, urlsplit

from pangeo_hpc.site.checks.finding import Finding
from pangeo_hpc.site.model import ObjectStore, Site

# What a protocol needs, and what it has no use for.
_BUCKETS = ("s3", "gs", "abfs")
_CREDENTIALS = ("s3", "gs")
_FILE = "name a file that holds it, as in credentials: ~/.aws/credentials"
# An access key of S3, and what signs an address of one of the big services.
_ACCESS_KEY = re.compile(r"(AKIA|ASIA)[0-9A-Z]{12,}")
_SIGNED = {"signature", "sig", "token", "x-amz-signature", "x-amz-credential", "x-goog-signature"}


def object_stores(site: Site) -> list[Finding]:
    """Refuse stores that cannot be reached as they are written."""
    found = []
    for name, entry in site.object_stores.items():
        here = f"object_stores.{name}"
        found += [*_missing(here, entry), *_useless(here, entry), *_secrets(here, entry)]
    return found


def _missing(here: str, entry: ObjectStore) -> list[Finding]:
    found = []
    what = f"a store of protocol {entry.protocol} needs"
    needs = (f"{here}.protocol", f"{here}.bucket", f"{here}.path", f"{here}.endpoint_url")
    if entry.protocol in _BUCKETS and entry.bucket is None:
        found.append(Finding(here, f"{what} a bucket", "add bucket", needs=needs))
    if entry.protocol in ("http", "https") and entry.endpoint_url is None:
        found.append(Finding(here, f"{what} an address", "add endpoint_url", needs=needs))
    if entry.protocol == "file" and entry.path is None:
        found.append(Finding(here, f"{what} a directory", "add path", needs=needs))
    if entry.profile and entry.credentials is None:
        text = "it names a section of a file, and no file"
        hint = "add credentials, such as ~/.aws/credentials"
        found.append(Finding(f"{here}.profile", text, hint, needs=(f"{here}.credentials",)))
    if entry.timeout.total_seconds() < 1:
        text, hint = "no request could be answered in time", "write a time such as 30 seconds"
        found.append(Finding(f"{here}.timeout", text, hint))
    return found


def _useless(here: str, entry: ObjectStore) -> list[Finding]:
    """Tell keys that the protocol would not heed, which somebody counts on."""
    given = {
        "bucket": (entry.bucket, _BUCKETS),
        "path": (entry.path, ("file",)),
        "endpoint_url": (entry.endpoint_url, ("s3", "gs", "http", "https")),
        "region": (entry.region, ("s3",)),
        "ca_bundle": (entry.ca_bundle, ("s3",)),
        "credentials": (entry.credentials, _CREDENTIALS),
        "profile": (entry.profile if entry.credentials else None, ("s3",)),
    }
    found = []
    for key, (value, protocols) in given.items():
        if value is not None and entry.protocol not in protocols:
            text = f"a store of protocol {entry.protocol} has no use for it"
            hint = f"remove it; it is for {' and '.join(protocols)}"
            if key == "credentials" and entry.protocol == "abfs":
                hint = "remove it; abfs takes them from the variables AZURE_STORAGE_…"
            found.append(Finding(f"{here}.{key}", text, hint, needs=(f"{here}.protocol",)))
    if entry.anonymous and entry.credentials is not None:
        text = "it reads without credentials, and names some"
        hint = "remove anonymous or credentials"
        found.append(Finding(f"{here}.anonymous", text, hint, needs=(f"{here}.credentials",)))
    return found


def _secrets(here: str, entry: ObjectStore) -> list[Finding]:
    """Refuse what looks like the credentials themselves; it is not repeated in the message."""
    for key in ("credentials", "profile", "bucket"):
        if _ACCESS_KEY.search(getattr(entry, key) or ""):
            text = "a secret does not belong in this file, which others read"
            return [Finding(f"{here}.{key}", text, _FILE)]
    return []


def catalogs(site: Site) -> list[Finding]:
    """Refuse two catalogs of one name, and addresses that hold a secret."""
    found: list[Finding] = []
    first: dict[str, int] = {}
    for number, catalog in enumerate(site.catalogs):
        here = f"catalogs[{number}]"
        if catalog.name in first:
            text = f"catalogs[{first[catalog.name]}] has this name already"
            found.append(Finding(f"{here}.name", text, "choose another name"))
        first.setdefault(catalog.name, number)
        if holds_secret(catalog.url):
            text = "a secret does not belong in this file, which others read"
            hint = "write the plain address, and an entry in object_stores that names a file"
            found.append(Finding(f"{here}.url", text, hint))
    return found


def holds_secret(url: str) -> bool:
    """Tell whether an address has a password in it, or is signed."""
    parts = urlsplit(url)
    if "://" not in url:
        return False
    signed = {name.lower() for name, _ in parse_qsl(parts.query)} & _SIGNED
    return bool(parts.password or signed)
