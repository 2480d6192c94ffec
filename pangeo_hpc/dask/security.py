"""TLS for every cluster: a key of its own in a private directory, gone when the cluster is.

Without it any user of the host runs code as the owner of a scheduler's port (measured). Only
paths of these files stand in a command line.
"""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pangeo_hpc import private
from pangeo_hpc.dask import sweep
from pangeo_hpc.errors import ClusterTooOld

if TYPE_CHECKING:
    from distributed.security import Security

# A job may wait in the queue for weeks before its workers present these.
VALID = timedelta(days=30)
# Clocks of compute nodes differ: a certificate of this very second is not valid yet on some.
_EARLIER = timedelta(days=1)


@dataclass(frozen=True)
class Keys:
    """The certificate, which is its own authority, and the key of one cluster.

    Nobody can join it with them after `until`.
    """

    folder: Path
    certificate: Path
    key: Path
    until: datetime

    def check(self, now: datetime | None = None) -> None:
        """Raise ClusterTooOld once nobody can join the cluster any more."""
        if (now or datetime.now(UTC)) >= self.until:
            end = self.until.strftime("%Y-%m-%d %H:%M UTC")
            text = f"the keys of this cluster were valid for {VALID.days} days, until {end}"
            hint = "nothing can connect any more: close it and start a new one"
            raise ClusterTooOld(text, hint=hint)

    def security(self) -> "Security":
        """Return them as Dask takes them, the same for every role."""
        from distributed.security import Security

        roles = ("client", "scheduler", "worker")
        certificates = {f"tls_{role}_cert": str(self.certificate) for role in roles}
        keys = {f"tls_{role}_key": str(self.key) for role in roles}
        return Security(
            require_encryption=True, tls_ca_file=str(self.certificate), **certificates, **keys
        )

    def remove(self) -> None:
        """Remove the files; nobody can join the cluster afterwards."""
        shutil.rmtree(self.folder, ignore_errors=True)
        sweep.disown(self.folder.parent)


def make_keys(folder: Path, now: datetime | None = None) -> Keys:
    """Make a new key and certificate as 0600 files in a 0700 directory.

    Raise NotAllowed if the directory is there and not private.
    """
    made = now or datetime.now(UTC)
    certificate, key = _generate(made)
    private.ensure_directory(folder)
    return Keys(
        folder=folder,
        certificate=private.put(folder, "certificate", certificate),
        key=private.put(folder, "key", key),
        until=made + VALID,
    )


def _generate(now: datetime) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pangeo-hpc-cluster")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
