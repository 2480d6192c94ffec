"""What goes wrong with an object store is one clear error, with the store and the next step."""

import pickle
from datetime import timedelta

import pytest

import pangeo_hpc
from pangeo_hpc.errors import (
    BucketMissing,
    CredentialsRefused,
    Exit,
    NotAllowed,
    StoreUnreachable,
    UnknownName,
)
from tests.unit.data.conftest import stores
from tests.unit.data.proxy import Proxy, s3_error
from tests.unit.data.s3_server import Keys, free_port


def refusal(kind, call):
    """Return what a call is told, which must be one error with a hint, and keep when pickled.

    With what Dask's workers use, causes are pickled too.
    """
    from tblib import pickling_support

    pickling_support.install()
    with pytest.raises(kind) as caught:
        call()
    error = caught.value
    assert error.hint
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    return error


def mine(url: str, more: str = "region: us-east-1") -> str:
    """Return a store that names no credentials."""
    known = f"protocol: s3, bucket: alpha-archive, endpoint_url: {url}"
    return f"object_stores: {{mine: {{{known}, {more}}}}}"


def each_way(store="archive"):
    """Return how people meet a store: a listing, a file, a mapper, a Zarr group."""
    import xarray as xr

    fs = pangeo_hpc.object_store(store)
    return [
        lambda: fs.ls("x"),
        lambda: fs.cat_file("x/a"),
        lambda: fs.info("x/a"),
        lambda: fs.get_mapper("x")["a"],
        lambda: fs.open("x/a").read(),
        lambda: fs.pipe_file("x/a", b"1"),
        lambda: xr.open_zarr(fs.get_mapper("x")),
    ]


WRONG = {
    "key": (Keys("AKIAIOSFODNN7NOTHERE", "secret"), "does not know the access key"),
    "secret": (None, "refused the secret key: it is not that of the access key"),
}


@pytest.mark.parametrize("which", WRONG)
def test_wrong_credentials(s3, make_site, write_credentials, which):
    """Whoever mistyped a key learns which of both, and in which file."""
    keys, told = WRONG[which]
    path = write_credentials(alpha=keys or Keys(s3.full.key, "wrong"))
    make_site(stores(s3.url))
    for call in each_way():
        error = refusal(CredentialsRefused, call)
        assert error.text == f"object store archive ({s3.url}, bucket alpha-archive) {told}"
        assert error.hint == f"check [alpha] in {path}"
        assert error.exit_code == Exit.NOT_ALLOWED == 5
        assert isinstance(error, PermissionError) and isinstance(error, NotAllowed)


def test_no_permission(archive, s3, make_site):
    """Credentials that are right and may not do this are not called wrong."""
    make_site(stores(s3.url, profile="limited"))
    for call in each_way():
        error = refusal(CredentialsRefused, call)
        assert error.text.endswith("bucket alpha-archive) does not allow this")
        assert "[limited]" in error.hint


def test_no_such_bucket(archive, s3, make_site):
    """A wrong name in the site YAML is told as such, not as data that are not there."""
    make_site(stores(s3.url, bucket="alpha-archiv"))
    ways = each_way()
    for call in ways:
        error = refusal(BucketMissing, call)
        where = f"object store archive ({s3.url}, bucket alpha-archiv)"
        assert error.text == f"{where} has no such bucket"
        assert error.hint == "check bucket in object_stores.archive of the site YAML"
        assert error.exit_code == Exit.USAGE


@pytest.mark.parametrize("code", ["ExpiredToken", "TokenRefreshRequired"])
def test_an_expired_token(s3, make_site, write_credentials, code):
    """Answered by a proxy as Amazon does: the test's server gives tokens that never expire."""
    write_credentials(alpha=Keys(s3.full.key, s3.full.secret, "old"))
    with Proxy(400, s3_error(code, "The provided token has expired.")) as proxy:
        make_site(stores(proxy.url))
        for call in each_way():
            error = refusal(CredentialsRefused, call)
            assert error.text.endswith("bucket alpha-archive): the token has expired")
            assert "get a new token, and put it into [alpha] in" in error.hint


def test_a_silent_server(s3, make_site, write_credentials):
    """One that never answers is an error, and not for ever waited for."""
    from pangeo_hpc.data.s3 import ATTEMPTS, INNER_ATTEMPTS

    write_credentials(alpha=s3.full)
    with Proxy() as proxy:
        site = make_site(stores(proxy.url, timeout="1 second"))
        assert site.object_store("archive").timeout == timedelta(seconds=1)
        fs = pangeo_hpc.object_store("archive")
        error = refusal(StoreUnreachable, lambda: fs.cat_file("x/a", start=0, end=1))
        assert proxy.count == ATTEMPTS * INNER_ATTEMPTS
    assert "did not answer within 1 seconds, several times" in error.text
    assert error.hint.endswith("or raise timeout in object_stores.archive of the site YAML")
    assert error.exit_code == Exit.SCHEDULER == 4
    assert error.retry


def test_nothing_listens(s3, make_site, write_credentials):
    """An address where no store is."""
    write_credentials(alpha=s3.full)
    url = f"http://127.0.0.1:{free_port()}"
    make_site(stores(url))
    error = refusal(StoreUnreachable, lambda: pangeo_hpc.object_store("archive").ls(""))
    assert error.text == f"object store archive ({url}, bucket alpha-archive) cannot be reached"
    assert "check endpoint_url" in error.hint


@pytest.mark.parametrize("code", ["SlowDown", "ServiceUnavailable"])
def test_a_busy_server(s3, make_site, write_credentials, code):
    """It is asked again, and then said to be busy."""
    write_credentials(alpha=s3.full)
    with Proxy(503, s3_error(code)) as proxy:
        make_site(stores(proxy.url))
        call = pangeo_hpc.object_store("archive").ls
        error = refusal(StoreUnreachable, lambda: call(""))
        assert proxy.count > 1
    assert f"is busy or out of order ({code})" in error.text


def test_anonymous_access(make_site):
    """Nothing is signed; what is not public says so."""
    with Proxy(403, s3_error("AccessDenied")) as proxy:
        make_site(mine(proxy.url, "anonymous: true"))
        error = refusal(CredentialsRefused, lambda: pangeo_hpc.object_store("mine").ls(""))
        assert proxy.count
        assert not proxy.signed
    assert error.text.endswith("does not allow this")
    assert error.hint == "it is not public: name credentials in the site YAML"


def test_credentials_of_the_environment(s3, make_site, monkeypatch):
    """A store that names no file takes what the login has, and says what is missing."""
    make_site(mine(s3.url))
    error = refusal(CredentialsRefused, lambda: pangeo_hpc.object_store("mine").ls(""))
    assert error.text.endswith("bucket alpha-archive): no credentials were found")
    assert "variables of your login do not reach jobs" in error.hint
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.full.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.full.secret)
    fs = pangeo_hpc.object_store("mine")
    fs.pipe_file("environment/a", b"1")
    assert fs.cat_file("environment/a") == b"1"
    assert s3.full.secret.encode() not in pickle.dumps(fs)


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (403, CredentialsRefused, "does not allow this"),
        (401, CredentialsRefused, "does not accept the credentials"),
        (503, StoreUnreachable, "is busy or out of order (503)"),
        (None, StoreUnreachable, "cannot be reached"),
    ],
)
def test_a_web_server_that_refuses(make_site, status, kind, told):
    """It is a store like others, and its refusals are told like theirs."""
    with Proxy(status or 200) as proxy:
        url = proxy.url if status else f"http://127.0.0.1:{free_port()}"
        make_site(f"object_stores: {{web: {{protocol: http, endpoint_url: {url}}}}}")
        fs = pangeo_hpc.object_store("web")
        for call in (fs.cat_file, fs.info, fs.get_mapper("").get):
            error = refusal(kind, lambda call=call: call("a"))
            assert error.text == f"object store web ({url}) {told}"


@pytest.fixture
def certificate(tmp_path):
    """A certificate for localhost that nobody has signed, and its key, in one file."""
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return path


def test_certificates_of_the_sites_own(make_site, write_credentials, certificate):
    """One that is not trusted is told as such; with ca_bundle, the store is spoken to."""
    import ssl

    write_credentials(alpha=Keys("AKIAEXAMPLE", "secret"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with Proxy(403, s3_error("AccessDenied"), tls) as proxy:
        make_site(stores(proxy.url))
        error = refusal(StoreUnreachable, lambda: pangeo_hpc.object_store("archive").ls(""))
        assert error.text.endswith("its certificate is not trusted")
        assert error.hint.endswith("object_stores.archive.ca_bundle")
        make_site(stores(proxy.url, ca_bundle=str(certificate)))
        refusal(CredentialsRefused, lambda: pangeo_hpc.object_store("archive").ls(""))


def test_unknown_names_are_no_store():
    """UnknownName stays the root of a missing bucket: both are names in the YAML."""
    assert issubclass(BucketMissing, UnknownName)
