"""The accounting side of the test cluster: a private MariaDB, slurmdbd, accounts and QOS."""

import os
import pwd
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.config import CLUSTER_NAME, fill
from tests.cluster.daemons import Daemon
from tests.cluster.machine import call

SETUP = (
    f"add cluster {CLUSTER_NAME}",
    "add qos high Priority=100",
    "add qos tiny MaxWall=00:01:00 MaxSubmitJobsPerUser=2",
    "add account climate,ocean QOS=normal,high,tiny DefaultQOS=normal",
    "add user alice,bob Account=climate DefaultAccount=climate",
    "add user alice Account=ocean",
)


def make_database(
    database: Path, password: str, *, network: str = "skip-networking", client: str = "localhost"
) -> None:
    """Write an empty database and its options; slurm may come from the host client."""
    database.mkdir(mode=0o755)
    user = pwd.getpwnam("mysql")
    os.chown(database, user.pw_uid, user.pw_gid)
    options = database / "my.cnf"
    options.write_text(fill("my.cnf", {"database": str(database), "network": network}))
    install = [
        "mariadb-install-db",
        f"--defaults-file={options}",
        "--user=mysql",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
        "--force",  # does not ask whether the host name resolves
    ]
    call(install, timeout=60)
    grant = database / "grant.sql"
    grant.touch(mode=0o600)
    shutil.chown(grant, "mysql")
    grant.write_text(
        f"CREATE USER slurm@'{client}' IDENTIFIED BY '{password}';\n"
        f"GRANT ALL ON slurm_acct.* TO slurm@'{client}';\n"
    )


def write_slurmdbd_conf(folder: Path, values: Mapping[str, str], password: str) -> None:
    """Write what slurmdbd reads, and nobody else."""
    conf = folder / "slurmdbd.conf"
    conf.touch(mode=0o600)
    conf.write_text(fill("slurmdbd.conf", {**values, "storage_password": password}))


def database(state: Path) -> Daemon:
    """Return the private mariadbd; its first start makes Slurm's database user."""
    folder = state / "db"
    return Daemon("mariadbd", mariadbd(folder), folder / "log")


def mariadbd(folder: Path) -> list[str]:
    """Return the command of the database in a folder."""
    argv = ["/usr/sbin/mariadbd", f"--defaults-file={folder / 'my.cnf'}"]
    if (folder / "grant.sql").exists():
        argv.append(f"--init-file={folder / 'grant.sql'}")
    return argv


def set_up(env: Mapping[str, str]) -> None:
    """Make the cluster, its accounts, users and QOS known to slurmdbd."""
    for line in SETUP:
        call(["sacctmgr", "--immediate", "--quiet", *line.split()], env=dict(env))
