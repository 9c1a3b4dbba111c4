"""Object stores for tests: starting one, talking to it, counting what it was asked for."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.remote.recording import CONTROL
from tests.support.processes import environment

BUCKET = "bucket"
KEY, SECRET = "AKIAREMOTETESTKEY", "remoteTestSecret/0123456789"


class Request(NamedTuple):
    """One request that the server got."""

    method: str
    path: str
    query: str
    range: str
    received: int
    sent: int


class ObjectStore:
    """A running server."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables with which s3fs finds the server."""
        return {
            "FSSPEC_S3_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def _control(self, order: dict[str, Any]) -> list[Request]:
        request = urllib.request.Request(self.endpoint + CONTROL, json.dumps(order).encode(), method="POST")
        with urllib.request.urlopen(request) as response:
            return [Request(**entry) for entry in json.load(response)]

    def requests(self) -> list[Request]:
        """Return what was asked for since ``reset``."""
        return self._control({})

    def reset(self, *faults: dict[str, Any]) -> None:
        """Forget the requests, and let faults happen from now on."""
        self._control({"reset": True, "faults": list(faults)})

    def client(self) -> Any:
        """Return boto3's client, which has nothing in common with what is tested."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def names(self) -> list[str]:
        """Return the names of all objects."""
        return sorted(each["Key"] for each in self.client().list_objects_v2(Bucket=BUCKET).get("Contents", []))

    def get(self, key: str) -> bytes:
        """Return an object."""
        data: bytes = self.client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return data

    def uploads(self) -> list[str]:
        """Return the names of objects whose uploads were begun and neither completed nor given up."""
        return [each["Key"] for each in self.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]

    def clear(self) -> None:
        """Remove everything."""
        client = self.client()
        for each in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
            client.abort_multipart_upload(Bucket=BUCKET, Key=each["Key"], UploadId=each["UploadId"])
        for key in self.names():
            client.delete_object(Bucket=BUCKET, Key=key)
        self.reset()


@contextmanager
def running_store() -> Iterator[ObjectStore]:
    """Start a server with one empty bucket, in a process of its own."""
    command: Sequence[str] = [sys.executable, "-m", "tests.remote.s3_server"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(PYTHONWARNINGS="ignore")
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        store = ObjectStore(int(process.stdout.readline()))
        store.client().create_bucket(Bucket=BUCKET)
        store.reset()
        yield store
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()
