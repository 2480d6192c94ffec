"""What an object store answered, in our words and with the next step."""

from typing import Any

from pangeo_hpc.data.credentials import section
from pangeo_hpc.data.settings import StoreSettings
from pangeo_hpc.errors import (
    BucketMissing,
    CredentialsRefused,
    PangeoHpcError,
    StoreUnreachable,
)

# Codes of S3 and of those who speak like it.
_UNKNOWN_KEY = {"InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken", "NotSignedUp"}
_UNACCEPTED = {"401", "InvalidSecurity"}
_WRONG_KEY = {"SignatureDoesNotMatch"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_DENIED = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidObjectState", "403"}
_CLOCK = {"RequestTimeTooSkewed"}
_REGION = {"AuthorizationHeaderMalformed", "PermanentRedirect", "301", "IllegalLocationConstraint"}
_BUSY = {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling"}
_BUSY |= {"500", "502", "503", "504"}

# Exceptions of the libraries below, by name: they are not imported to be compared with.
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}
_NO_CREDENTIALS |= {"TokenRetrievalError", "UnauthorizedSSOTokenError", "SSOTokenLoadError"}
_NO_CREDENTIALS |= {"DefaultCredentialsError", "RefreshError", "ProfileNotFound"}
_SLOW = {"ReadTimeoutError", "FSTimeoutError", "TimeoutError", "ServerTimeoutError"}
_DOWN = {"EndpointConnectionError", "ConnectTimeoutError", "ConnectionClosedError"}
_DOWN |= {"ProxyConnectionError", "HTTPClientError", "ClientConnectorError"}
_DOWN |= {"ServerDisconnectedError", "ClientConnectorDNSError", "ClientOSError"}
_DOWN |= {"ConnectionError"}
_TLS = {"SSLError", "ClientConnectorCertificateError", "ClientConnectorSSLError"}


_WEB = "it is not public, and is read without credentials"


def is_wordless(error: Exception) -> bool:
    """Tell whether a store refused something without saying why."""
    return code_of(error) in ("400", "401", "403")


def explained(store: StoreSettings, error: Exception) -> PangeoHpcError | None:
    """Return an error of ours for what went wrong with a store; None if it is nothing of ours.

    That something is not there is the ordinary answer to many questions, and is none.
    """
    if isinstance(error, PangeoHpcError):
        return error
    code = code_of(error)
    return _by_code(store, code) if code else _by_kind(store, error)


def code_of(error: BaseException) -> str:
    """Return the code that a store answered with, empty if it was no answer."""
    for each in (error, error.__cause__):
        response: Any = getattr(each, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    kind = type(error).__name__
    if kind in ("HttpError", "ClientResponseError"):
        # gcsfs, and aiohttp
        return str(getattr(error, "code" if kind == "HttpError" else "status", "") or "")
    # gcsfs says this one in words (its retry.py)
    return "403" if type(error) is OSError and str(error).startswith("Forbidden: ") else ""


def _by_code(store: StoreSettings, code: str) -> PangeoHpcError | None:
    with_keys = store.protocol in ("s3", "gs")
    check = f"check {_where(store)}" if with_keys else _WEB
    if code in _UNKNOWN_KEY:
        return CredentialsRefused(f"{store.shown} does not know the access key", hint=check)
    if code in _UNACCEPTED:
        return CredentialsRefused(f"{store.shown} does not accept the credentials", hint=check)
    if code in _WRONG_KEY:
        text = f"{store.shown} refused the secret key: it is not that of the access key"
        return CredentialsRefused(text, hint=check)
    if code in _EXPIRED:
        hint = f"get a new token, and put it into {_where(store)}"
        return CredentialsRefused(f"{store.shown}: the token has expired", hint=hint)
    if code in _CLOCK:
        hint = "the clocks of this machine and of the store differ: tell your administrator"
        return CredentialsRefused(f"{store.shown} refused the time of the request", hint=hint)
    if code == "NoSuchBucket":
        hint = f"check bucket in object_stores.{store.name} of the site YAML"
        return BucketMissing(f"{store.shown} has no such bucket", hint=hint)
    if code in _DENIED:
        hint = f"ask who runs the store for the right; the credentials are {_where(store)}"
        if store.anonymous:
            hint = "it is not public: name credentials in the site YAML"
        elif not with_keys:
            hint = _WEB
        return CredentialsRefused(f"{store.shown} does not allow this", hint=hint)
    if code in _REGION:
        hint = f"check region and endpoint_url in object_stores.{store.name} of the site YAML"
        return StoreUnreachable(f"{store.shown}: the bucket is in another region", hint=hint)
    if code in _BUSY:
        text = f"{store.shown} is busy or out of order ({code})"
        return StoreUnreachable(text, hint="try again later; it was asked several times")
    return None


def _by_kind(store: StoreSettings, error: Exception) -> PangeoHpcError | None:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & _NO_CREDENTIALS:
        hint = (
            f"put them into {_where(store)}"
            if store.credentials
            else f"name a file in object_stores.{store.name}.credentials, or set anonymous there; "
            "variables of your login do not reach jobs"
        )
        return CredentialsRefused(f"{store.shown}: no credentials were found", hint=hint)
    if kinds & _TLS:
        hint = f"check endpoint_url; for own certificates: object_stores.{store.name}.ca_bundle"
        return StoreUnreachable(f"{store.shown}: its certificate is not trusted", hint=hint)
    if kinds & _SLOW:
        text = f"{store.shown} did not answer within {store.timeout:g} seconds, several times"
        hint = f"try again later, or raise timeout in object_stores.{store.name} of the site YAML"
        return StoreUnreachable(text, hint=hint)
    if kinds & _DOWN:
        hint = "check endpoint_url of the site YAML, and whether this node reaches other networks"
        return StoreUnreachable(f"{store.shown} cannot be reached", hint=hint)
    return None


def _where(store: StoreSettings) -> str:
    """Return where a person looks for the credentials."""
    if store.credentials is None:
        return "your environment or ~/.aws/credentials" if store.protocol == "s3" else "your login"
    if store.protocol == "s3":
        return f"[{section(store)}] in {store.credentials}"
    return store.credentials
