"""Stores that run offline: Azurite, moto and gcp-storage-emulator, each on a free port."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.requirements import azurite

AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Published by Microsoft for its emulator."""
START_SECONDS = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, "the emulator ended"
            assert time.monotonic() < deadline, "the emulator did not start"


@contextmanager
def running_azurite(folder: Path) -> Iterator[str]:
    """Its connection string."""
    program = azurite()
    assert program is not None
    port = free_port()
    command = [str(program), "--location", str(folder), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    command += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield (
            "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
            f"AccountKey={AZURITE_KEY};BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
        )
    finally:
        process.terminate()
        process.wait()


@contextmanager
def running_s3() -> Iterator[str]:
    """The address of moto's server, with the bucket `files`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from moto.server import ThreadedMotoServer
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        assert httpx.put(f"{address}/files", trust_env=False).status_code == 200
        yield address
    finally:
        server.stop()


@contextmanager
def running_gcs() -> Iterator[str]:
    """The address of a Cloud Storage emulator, with the bucket `files`; it is put into the environment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from gcp_storage_emulator.server import create_server
    port = free_port()
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket="files")
    before = os.environ.get("STORAGE_EMULATOR_HOST")
    os.environ["STORAGE_EMULATOR_HOST"] = address = f"http://127.0.0.1:{port}"
    server.start()
    try:
        yield address
    finally:
        server.stop()
        os.environ.pop("STORAGE_EMULATOR_HOST", None)
        if before is not None:
            os.environ["STORAGE_EMULATOR_HOST"] = before
