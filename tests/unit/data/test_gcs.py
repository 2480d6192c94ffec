"""Google Cloud Storage: gcsfs against a server of the test's own, which knows one object.

It proves how the store is opened and what its refusals are called; not Google's service.
"""

import json
import pickle
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest

import pangeo_hpc
from pangeo_hpc.errors import CredentialsRefused


class Fake(BaseHTTPRequestHandler):
    """The JSON API's objects.get and objects.list, for ``b/a.txt``; 403 and 401 in two buckets."""

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        for bucket, status in (("closed", 403), ("unknown", 401)):
            if f"/b/{bucket}/" in path:
                self.reply(status, json.dumps({"error": {"code": status, "message": "no"}}))
                return
        facts = {"name": "a.txt", "bucket": "b", "size": "3", "generation": "1"}
        if path.startswith("/download/") and path.endswith("/b/b/o/a.txt"):
            self.reply(200, "abc")
        elif path.endswith("/b/b/o/a.txt"):
            self.reply(200, json.dumps(facts))
        elif path.endswith("/b/b/o"):
            self.reply(200, json.dumps({"items": [facts]}))
        else:
            self.reply(404, "{}")

    def reply(self, status, text):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        return


@pytest.fixture
def gcs():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Fake)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def store(url: str, bucket: str, more: str = "anonymous: true") -> str:
    where = f"protocol: gs, bucket: {bucket}, endpoint_url: {url}"
    return f"object_stores: {{google: {{{where}, {more}}}}}"


def test_it_is_read(gcs, make_site):
    """Paths begin at the bucket here, too."""
    make_site(store(gcs, "b"))
    fs = pangeo_hpc.object_store("google")
    assert fs.ls("", detail=False) == ["a.txt"]
    assert fs.cat_file("a.txt") == b"abc"
    assert pickle.loads(pickle.dumps(fs)).get_mapper("")["a.txt"] == b"abc"


@pytest.mark.parametrize(
    ("bucket", "told"),
    [("closed", "does not allow this"), ("unknown", "does not accept the credentials")],
)
def test_it_refuses(gcs, make_site, bucket, told):
    """403 and 401 are told as S3's are."""
    make_site(store(gcs, bucket))
    with pytest.raises(CredentialsRefused, match=rf"store google \(.*bucket {bucket}\) {told}"):
        pangeo_hpc.object_store("google").cat_file("a.txt")


def test_its_key_stays_where_it_is(gcs, make_site, tmp_path):
    """A service account's file is private, and only its path travels."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    path = tmp_path / "key.json"
    account = {
        "type": "service_account",
        "client_email": "a@alpha.example",
        "token_uri": f"{gcs}/token",
        "private_key": pem,
        "project_id": "p",
    }
    path.write_text(json.dumps(account))
    make_site(store(gcs, "b", f"credentials: {path}"))
    with pytest.raises(CredentialsRefused, match="others can read it"):
        pangeo_hpc.object_store("google")
    path.chmod(0o600)
    fs = pangeo_hpc.object_store("google")
    for text in (pickle.dumps(fs), pickle.dumps(fs.fs), fs.to_json().encode()):
        assert pem.splitlines()[1].encode() not in text
        assert str(path).encode() in text
