"""Becoming somebody else: who may, and what goes along."""

import pwd

import pytest

from pangeo_hpc.cli.other_user import OtherUser, find_user
from pangeo_hpc.errors import NotAllowed, UnknownName


def test_only_root_may() -> None:
    """Anybody else is refused before the name is looked up."""
    with pytest.raises(NotAllowed) as caught:
        find_user("no-such-user", uid=1001)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("name", ["no-such-user", "", "a\0b"])
def test_unknown(name: str) -> None:
    """A user that is not there is a wrong use of the command."""
    with pytest.raises(UnknownName) as caught:
        find_user(name, uid=0)
    assert caught.value.exit_code == 2


def test_all_their_groups() -> None:
    """Ids, groups, home and shell are those of the user database."""
    entry = pwd.getpwuid(0)
    found = find_user(entry.pw_name, uid=0)
    assert (found.uid, found.gid, found.home) == (0, entry.pw_gid, entry.pw_dir)
    assert entry.pw_gid in found.groups


def test_a_clean_environment() -> None:
    """Where commands are goes along; root's home, secrets and Python settings do not."""
    user = OtherUser("alice", 1, 1, "/home/alice", "/bin/bash", (1,))
    ours = {
        "PATH": "/opt/slurm/bin:/usr/bin",
        "HOME": "/root",
        "USER": "root",
        "SLURM_CONF": "/etc/slurm.conf",
        "LANG": "C.UTF-8",
        "SECRET_TOKEN": "hidden",
        "PYTHONPATH": "/root/lib",
        "LD_PRELOAD": "/root/lib.so",
        "PANGEO_HPC_ACCOUNT": "roots",
    }
    assert user.environment(ours) == {
        "PATH": "/opt/slurm/bin:/usr/bin",
        "SLURM_CONF": "/etc/slurm.conf",
        "LANG": "C.UTF-8",
        "USER": "alice",
        "LOGNAME": "alice",
        "HOME": "/home/alice",
        "SHELL": "/bin/bash",
    }
