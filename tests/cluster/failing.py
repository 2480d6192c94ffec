"""Servers that really fail, and what their pages say of it."""

import html
import re
import time
from pathlib import Path
from urllib.parse import parse_qs, urlparse

from tests.cluster.daemons import wait_until
from tests.cluster.hub import Browser
from tests.cluster.slurm import SlurmCluster

# what a user's program says, and the hub's log must not
MARK = "a-word-of-alice"
EATER = f"""\
#!/usr/bin/python3
import time
print("<b>{MARK}</b>", flush=True)
eaten = bytearray(b"x") * (1 << 30)
time.sleep(20)
"""
# a node type whose servers need more memory than they have
HUNGRY = """\
  hungry:
    queue: compute
    cores: 1
    memory: 300 MiB
    max_memory: 2 GiB
    walltime: "00:10:00"
    setup: ["{eater}"]
    options: {{begin: {{directive: "--begin={{value}}", pattern: "now\\\\+[0-9]+"}}}}
"""


def hungry(cluster: SlurmCluster) -> str:
    """Return the node type `hungry`, after the program was written that eats its memory."""
    eater = cluster.directory / "eater.py"
    eater.write_text(EATER)
    eater.chmod(0o755)
    return HUNGRY.format(eater=eater)


def page(browser: Browser, server: str, user: str = "alice") -> str:
    """Return what the page of a server shows after it was loaded anew, without the tags."""
    _, text = browser.open(f"/hub/spawn-pending/{user}/{server}".rstrip("/"))
    return text


def go_on(cluster: SlurmCluster) -> Path:
    """Return the file for which servers with the word GO_ON in their setup wait."""
    return cluster.directory / "go-on"


def retry(text: str) -> dict[str, list[str]]:
    """Return the choices in the link of a failure to the form."""
    found = re.search(r'class="btn btn-primary pangeo-retry" href="([^"]+)"', text)
    assert found, text
    return parse_qs(urlparse(html.unescape(found[1])).query)


def known(cluster: SlurmCluster, job: str, seconds: float = 150) -> float:
    """Return when the scheduler's history knows the end of a job."""

    def ended() -> bool:
        words = cluster.admin(["sacct", "-n", "-P", "-X", "-j", job, "-o", "State"])
        return bool(words.strip()) and not re.match(r"PENDING|RUNNING|REQUEUED", words)

    assert wait_until(ended, seconds, every=0.2), job
    return time.time()
