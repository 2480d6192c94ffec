"""The image to start from where no registry can be reached: Debian, from this machine's mirrors."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.containers.daemon import STATE
from tests.cluster.errors import ClusterError
from tests.cluster.machine import call

SUITE = "bookworm"
IMAGE = f"pangeo-hpc-base:{SUITE}"


def ensure(env: Mapping[str, str]) -> str:
    """Return the name of the image, which is made if it is not there."""
    try:
        call(["docker", "image", "inspect", IMAGE], env=dict(env))
        return IMAGE
    except ClusterError:
        pass
    print("making a base image from Debian's packages: about a minute, once", flush=True)
    with tempfile.TemporaryDirectory(prefix="base-", dir=STATE) as work:
        root, archive = Path(work, "root"), Path(work, "base.tar")
        lines = sources()
        mirror = [line.split()[1] for line in lines if line.split()[2] == SUITE]
        # Whatever becomes of it, what it mounts goes with its namespace.
        words = ["unshare", "--mount", "debootstrap", "--variant=minbase", SUITE, str(root)]
        call([*words, *mirror[:1]], timeout=1800)
        if mirror:
            (root / "etc/apt/sources.list").write_text("\n".join(lines) + "\n")
            settings = call(["apt-config", "dump", "Acquire"])
            (root / "etc/apt/apt.conf.d/90machine").write_text(settings)
        pack = ["tar", "--create", f"--file={archive}", f"--directory={root}"]
        call([*pack, "--exclude=./var/cache/apt/archives/*.deb", "."], timeout=300)
        call(["docker", "import", str(archive), IMAGE], timeout=300, env=dict(env))
    return IMAGE


def sources() -> list[str]:
    """Return the lines of sources.list for Debian's own archives, as this machine reaches them."""
    form = "$(ORIGIN)|deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    rows = call(["apt-get", "indextargets", f"--format={form}", "Identifier: Packages"])
    lines = [row.partition("|")[2] for row in rows.splitlines() if row.startswith("Debian|")]
    suites = {SUITE, f"{SUITE}-updates", f"{SUITE}-security"}
    return [line for line in lines if line.split()[2] in suites and line.endswith(" main")]
