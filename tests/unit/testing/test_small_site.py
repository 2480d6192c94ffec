"""The small site that is shipped for others' tests is valid."""

import pytest

from pangeo_hpc.site import load_site
from pangeo_hpc.testing import small_site_yaml


@pytest.mark.parametrize("scheduler", ["local", "slurm", "pbs"])
def test_it_is_valid(tmp_path, scheduler):
    """It loads on any scheduler, with its one node type and scratch."""
    path = tmp_path / "site.yaml"
    scratch = tmp_path / "it's scratch"
    more = {"memory": "2 GiB", "max_jobs": "3"}
    path.write_text(
        small_site_yaml(
            scheduler=scheduler, user_state=tmp_path / "state", scratch=scratch, node_type=more
        )
    )
    site = load_site(path)
    assert site.scheduler == scheduler
    assert site.user_state == f"{tmp_path}/state/{{user}}"
    assert site.node_type().memory == 2 * 2**30
    assert site.node_type().max_jobs == 3
    assert str(site.scratch_filesystem().root) == str(scratch)


def test_it_is_valid_as_it_is(tmp_path):
    """Nothing needs to be said."""
    path = tmp_path / "site.yaml"
    path.write_text(small_site_yaml())
    assert load_site(path).node_type().cores == 2
