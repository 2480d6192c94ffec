"""Credentials by reference: the file that a store names is looked at before it is used.

Nothing here returns a secret: the libraries of the stores read the file themselves.
"""

import os
import stat
from collections.abc import Mapping
from configparser import Error, RawConfigParser
from pathlib import Path

from pangeo_hpc.data.settings import StoreSettings
from pangeo_hpc.errors import CredentialsRefused

_KEYS = ("aws_access_key_id", "aws_secret_access_key")
# A section may also say where botocore is to get them from.
_OTHERS = ("credential_process", "role_arn", "source_profile", "sso_session", "sso_start_url")


def check(store: StoreSettings, environ: Mapping[str, str] | None = None) -> None:
    """Raise CredentialsRefused unless the credentials of a store are there and kept private."""
    if store.anonymous:
        return
    path = _file(store, os.environ if environ is None else environ)
    if path is None:
        return
    check_private(path, store.shown)
    if store.protocol == "s3":
        _check_section(store, path)


def check_private(path: Path, what: str) -> None:
    """Raise CredentialsRefused unless a file is its user's, or root's, and closed to others.

    One of root may be read by its group: so a site can give its users one file.
    """
    try:
        status = path.stat()
    except OSError as error:
        text = f"{what}: the credentials {path} cannot be read: {error.strerror}"
        hint = "put them there, and: chmod 600; whoever runs the store gives them to you"
        raise CredentialsRefused(text, hint=hint) from error
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        text, hint = "it is not a plain file", "name the file that holds them"
    elif status.st_uid not in (os.geteuid(), 0):
        text = f"it belongs to user id {status.st_uid}, neither to you nor to root"
        hint = "copy it to a file of your own, and name that"
    elif mode & (0o077 if status.st_uid == os.geteuid() else 0o027):
        text, hint = f"others can read it (mode {mode:04o})", f"chmod 600 {path}"
    elif not os.access(path, os.R_OK):
        text, hint = "you cannot read it", "ask who keeps it to let your group read it"
    else:
        return
    raise CredentialsRefused(f"{what}: the credentials {path} are not used: {text}", hint=hint)


def _file(store: StoreSettings, environ: Mapping[str, str]) -> Path | None:
    """Return the file that the credentials come from; None if it is for the library to find."""
    if store.credentials is not None:
        return Path(store.credentials)
    if store.protocol == "s3" and not all(environ.get(name.upper()) for name in _KEYS):
        usual = Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials")
    elif store.protocol == "gs" and environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        usual = Path(environ["GOOGLE_APPLICATION_CREDENTIALS"])
    else:
        return None
    usual = usual.expanduser()
    return usual if usual.is_file() else None


def _check_section(store: StoreSettings, path: Path) -> None:
    if store.credentials is None:
        return
    parser = RawConfigParser()
    try:
        parser.read_string(path.read_text())
    except (Error, UnicodeDecodeError):
        # not chained: the parser quotes the line, which may be the secret
        text = f"{store.shown}: {path} is not written as a credentials file is"
        hint = f"write it as: [{section(store)}], then a line `{_KEYS[0]} = …` and `{_KEYS[1]} = …`"
        raise CredentialsRefused(text, hint=hint) from None
    name = section(store)
    if not parser.has_section(name):
        known = parser.sections()
        text = f"{store.shown}: {path} has no section [{name}]"
        hint = f"it has {', '.join(known)}; name one of them as profile" if known else "it is empty"
        raise CredentialsRefused(text, hint=hint)
    lacking = [key for key in _KEYS if not parser.get(name, key, fallback="")]
    if lacking and not any(parser.has_option(name, key) for key in _OTHERS):
        text = f"{store.shown}: section [{name}] of {path} has no {' and no '.join(lacking)}"
        raise CredentialsRefused(text, hint="add it; whoever runs the store gives it to you")


def section(store: StoreSettings) -> str:
    """Return the section of its file that a store uses."""
    return store.profile or "default"
