"""An S3 server on loopback that checks credentials: moto, in a separate process."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import boto3
from botocore.config import Config

from tests.postgres_server import free_port

BUCKET = "analytics"
_POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
_UNCHECKED = 4  # moto does not check the first requests, which create the user, its policy, its key and the bucket


class Storage:
    """A bucket, and the environment variables by which AWS's tools, and so fsspec, find it."""

    def __init__(self, endpoint: str) -> None:
        self._options = {
            "endpoint_url": endpoint,
            "region_name": "us-east-1",
            "config": Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30),
        }
        anybody = {"aws_access_key_id": "setup", "aws_secret_access_key": "setup"}
        users = boto3.client("iam", **self._options, **anybody)
        users.create_user(UserName="analytics")
        users.put_user_policy(UserName="analytics", PolicyName="all", PolicyDocument=_POLICY)
        key = users.create_access_key(UserName="analytics")["AccessKey"]
        boto3.client("s3", **self._options, **anybody).create_bucket(Bucket=BUCKET)
        self.variables = {
            "AWS_ENDPOINT_URL_S3": endpoint,
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.client = boto3.client(
            "s3",
            **self._options,
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
        )

    def put(self, key: str, content: bytes) -> None:
        """Write an object."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def get(self, key: str) -> bytes:
        """Return an object's bytes."""
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def keys(self, prefix: str) -> list[str]:
        """Return the sorted keys below a prefix, without the prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry["Key"].removeprefix(prefix) for page in pages for entry in page.get("Contents", ())]

    def unfinished(self) -> list[str]:
        """Return the uploads that were begun and neither completed nor aborted. A provider bills them for ever."""
        return [upload["Key"] for upload in self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())]


@contextmanager
def serving(folder: Path) -> Iterator[Storage]:
    """Yield a server with an empty bucket, and stop it when the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "moto.log").open("wb") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": str(_UNCHECKED)}
        )
        try:
            _wait_for(port, server)
            yield Storage(f"http://127.0.0.1:{port}")
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"the S3 server ended with {server.returncode}; see its log")
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the S3 server did not answer within a minute")
