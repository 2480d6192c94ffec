"""A site with stores of every kind, a home of its own, and a real S3 server."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pangeo_hpc.site import Site, load_site
from tests.unit.data.s3_server import BUCKET, Keys, S3Server

SITE = """
name: alpha
scheduler: local
node_types: {{one: {{cores: 1, memory: 1 GiB, walltime: "01:00:00"}}}}
scratch: {{scratch: {{path: "{folder}/scratch/{{user}}"}}}}
{more}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and no credentials from whoever runs the tests."""
    import os

    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in list(os.environ):
        if name.startswith(("AWS_", "PANGEO_", "GOOGLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return folder


MakeSite = Callable[[str], Site]


@pytest.fixture
def make_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeSite:
    """Load a site with more sections, which is then the site of this process."""

    def make(more: str = "") -> Site:
        path = tmp_path / "alpha.yaml"
        path.write_text(SITE.format(folder=tmp_path, more=more))
        monkeypatch.setenv("PANGEO_HPC_SITE", str(path))
        return load_site()

    return make


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"))
    try:
        server.wait()
        server.fill()
        yield server
    finally:
        server.stop()


@pytest.fixture
def write_credentials(home: Path) -> Callable[..., Path]:
    """Write ~/.aws/credentials, as private as it has to be."""

    def write(**sections: Keys) -> Path:
        path = home / ".aws" / "credentials"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(keys.section(name) for name, keys in sections.items()))
        path.chmod(0o600)
        return path

    return write


@pytest.fixture
def archive(s3: S3Server, make_site: MakeSite, write_credentials: Callable[..., Path]) -> Site:
    """A site whose store `archive` is a bucket of the server, with credentials that may do all."""
    write_credentials(alpha=s3.full, limited=s3.limited)
    return make_site(stores(s3.url))


def stores(url: str, **more: str) -> str:
    """Return a section object_stores with the store `archive`."""
    settings = {
        "protocol": "s3",
        "bucket": BUCKET,
        "endpoint_url": url,
        "credentials": "~/.aws/credentials",
        "profile": "alpha",
        **more,
    }
    flow = ", ".join(f"{key}: {value}" for key, value in settings.items())
    return f"object_stores: {{archive: {{{flow}}}}}"
