"""The head of a job script for every node type of every shipped site, as it was agreed.

It is what the site decides: the lines for the scheduler, and the shell lines of the site.

After a change that is meant, write them anew and read the difference:

    PANGEO_HPC_GOLDEN=write python -m pytest tests/house/test_golden_scripts.py
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pangeo_hpc.jobs import Ask, plan, scheduler_of
from pangeo_hpc.site import NodeType, Person, Site, load_site

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
ENVIRON = {"HOME": "/home/alice", "PATH": "/nowhere"}
ALICE = Person(
    "alice", 1001, 1001, "climate", Path("/home/alice"), project="abc123", account="abc123"
)
SITES = {
    path.stem: load_site(path, environ=ENVIRON)
    for path in sorted((ROOT / "site-configs").glob("*.yaml"))
}
CASES = [(site, node) for site in SITES.values() for node in site.node_types.values()]


def head(site: Site, node: NodeType) -> str:
    """Return the head of what alice submits, who asks for two nodes where she may have them."""
    charged = node.account in ("required", "optional") or "{" in node.account
    asked = Ask(
        node_type=node.name,
        nodes=min(2, node.max_nodes),
        account="abc123" if charged else None,
    )
    folder = site.user_state_path(ALICE) / "runs" / site.name / "ndvi" / "attempts" / "0001"
    request = plan(
        site,
        asked,
        name="ndvi",
        command=("/opt/pangeo/bin/python", "ndvi.py"),
        use="batch" if "batch" in node.uses else min(node.uses),
        person=ALICE,
        working_directory=folder,
        folder=folder,
    )
    request = replace(request, name="ndvi-x7k2")
    lines = scheduler_of(site, node.name, ALICE).directives(request)
    return "\n".join(["#!/bin/bash -l", *lines, *request.setup]) + "\n"


@pytest.mark.parametrize(
    ("site", "node"), CASES, ids=[f"{site.name}-{node.name}" for site, node in CASES]
)
def test_the_head_is_the_agreed_one(site, node):
    """Every line, for a user who charges abc123."""
    path = GOLDEN / site.name / f"{node.name}.sh"
    text = head(site, node)
    if os.environ.get("PANGEO_HPC_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def test_no_script_is_left_of_a_node_type_that_is_gone():
    """Each file has its node type."""
    expected = {GOLDEN / site.name / f"{node.name}.sh" for site, node in CASES}
    assert set(GOLDEN.rglob("*.sh")) == expected
