"""A real S3 server on loopback: moto's, with its own users, keys, policies and signatures."""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUCKET = "alpha-archive"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Keys:
    key: str
    secret: str
    token: str | None = None

    def section(self, name: str) -> str:
        token = f"aws_session_token = {self.token}\n" if self.token else ""
        return (
            f"[{name}]\naws_access_key_id = {self.key}\naws_secret_access_key = {self.secret}\n"
            f"{token}"
        )


class S3Server:
    """The server, a user who may do everything with S3, and one who may only list buckets."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = (folder / "moto.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "MOTO_PORT": str(self.port)},
        )

    def wait(self) -> None:
        """Wait until it answers: it retries the connection, and never an answer."""
        import time

        until = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/moto-api/", timeout=5).close()
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                assert self.process.poll() is None, "the server ended"
                assert time.monotonic() < until, "the server does not answer"
                time.sleep(0.1)
            else:
                return

    def client(self, name: str, keys: Keys | None = None) -> Any:
        import botocore.session

        session = botocore.session.get_session()
        given = keys or Keys("AKIAADMIN", "admin")
        return session.create_client(
            name,
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id=given.key,
            aws_secret_access_key=given.secret,
        )

    def fill(self) -> None:
        """Make the users and the bucket; from then on every request is checked."""
        iam = self.client("iam")
        self.full = self._user(iam, "full", "s3:*")
        self.limited = self._user(iam, "limited", "s3:ListAllMyBuckets")
        self.client("s3").create_bucket(Bucket=BUCKET)
        # as text: a form's fields would be taken out of the body
        request = urllib.request.Request(
            f"{self.url}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"}, method="POST"
        )
        urllib.request.urlopen(request, timeout=30).close()

    def _user(self, iam: Any, name: str, action: str) -> Keys:
        iam.create_user(UserName=name)
        rule = {"Effect": "Allow", "Action": action, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
        iam.put_user_policy(UserName=name, PolicyName="s3", PolicyDocument=document)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return Keys(made["AccessKeyId"], made["SecretAccessKey"])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
