"""The keys of a cluster: private, valid long enough, gone at the end."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from pangeo_hpc.dask.security import make_keys
from pangeo_hpc.errors import NotAllowed


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_private_files(tmp_path: Path) -> None:
    """Nobody else can enter the directory or read a file in it."""
    keys = make_keys(tmp_path / "tls")
    assert mode(keys.folder) == 0o700
    assert {mode(path) for path in keys.folder.iterdir()} == {0o600}
    assert b"PRIVATE KEY" in keys.key.read_bytes()


def test_valid_while_jobs_wait(tmp_path: Path) -> None:
    """They hold through a month, in the queue too, and for nodes whose clocks are behind."""
    now = datetime(2030, 1, 1, tzinfo=UTC)
    keys = make_keys(tmp_path / "tls", now)
    certificate = x509.load_pem_x509_certificate(keys.certificate.read_bytes())
    assert certificate.not_valid_after_utc == keys.until == now + timedelta(days=30)
    assert certificate.not_valid_before_utc < now - timedelta(hours=1)


def test_every_cluster_has_its_own(tmp_path: Path) -> None:
    """The key of one cluster does not open another."""
    one, other = make_keys(tmp_path / "one"), make_keys(tmp_path / "other")
    assert one.key.read_bytes() != other.key.read_bytes()


def test_security_demands_encryption(tmp_path: Path) -> None:
    """Dask is given paths, and told to take nothing else."""
    keys = make_keys(tmp_path / "tls")
    security = keys.security()
    assert security.require_encryption is True
    for role in ("client", "scheduler", "worker"):
        told = security.get_tls_config_for_role(role)
        assert told["key"] == str(keys.key)
        assert told["cert"] == told["ca_file"] == str(keys.certificate)


def test_removed(tmp_path: Path) -> None:
    """Removing twice is no error."""
    keys = make_keys(tmp_path / "tls")
    keys.remove()
    keys.remove()
    assert not keys.folder.exists()


def test_open_directory_is_refused(tmp_path: Path) -> None:
    """Keys never go where others can look."""
    (tmp_path / "tls").mkdir(mode=0o755)
    with pytest.raises(NotAllowed, match="read by others"):
        make_keys(tmp_path / "tls")
