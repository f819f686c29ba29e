"""Large bodies: memory stays flat, and nothing is stored for a stranger."""

from __future__ import annotations

import base64
import hashlib
import http.client
import socket
import sys
import time
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from tests.end_to_end.conftest import client_for
from tests.product import Product, peak_memory_of

pytestmark = [
    pytest.mark.xdist_group("product"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

GIB = 2**30
MIB = 2**20
BLOCK = bytes(range(256)) * 4096
BOUNDARY = "portico-test-boundary"


def multipart_head(filename: str) -> bytes:
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()


TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()


def stored_bytes(product: Product) -> int:
    return sum(path.stat().st_blocks * 512 for path in product.data_dir.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [8 * MIB, 256 * MIB])
def test_google_s_protocol_takes_256_mebibytes_in_flat_memory(product: Product, key: str, chunk: int) -> None:
    size = 256 * MIB
    begin = {
        "x-goog-upload-protocol": "resumable",
        "x-goog-upload-command": "start",
        "x-goog-upload-header-content-length": str(size),
        "x-goog-api-key": key,
    }
    with httpx.Client(timeout=120, trust_env=False) as client:
        warm = client.post(f"{product.url}/upload/v1beta/files", headers=begin)
        client.post(warm.headers["x-goog-upload-url"], headers={"x-goog-upload-command": "cancel"})
        before = {pid: peak_memory_of(pid) for pid in product.children()}
        url = client.post(f"{product.url}/upload/v1beta/files", headers=begin).headers["x-goog-upload-url"]
        for offset in range(0, size, chunk):
            last = offset + chunk == size
            headers = {
                "x-goog-upload-command": "upload, finalize" if last else "upload",
                "x-goog-upload-offset": str(offset),
                "content-length": str(chunk),
            }
            pieces = (BLOCK for _ in range(chunk // len(BLOCK)))
            answer = client.post(url, headers=headers, content=pieces)
            assert answer.headers["x-goog-upload-status"] == ("final" if last else "active"), answer.text
        made = answer.json()["file"]
        growth = {pid: peak_memory_of(pid) - peak for pid, peak in before.items()}
        print(
            f"growth of peak memory by process, MiB: {[round(grown / MIB, 1) for grown in growth.values()]}"
        )
        assert max(growth.values()) < 64 * MIB
        expected = hashlib.sha256()
        for _ in range(size // len(BLOCK)):
            expected.update(BLOCK)
        assert base64.b64decode(made["sha256Hash"]).decode() == expected.hexdigest()
        client.delete(made["uri"], headers={"x-goog-api-key": key})


@pytest.mark.slow
def test_a_gibibyte_uploads_in_flat_memory(product: Product, key: str) -> None:
    with client_for(product, key) as client:
        client.files.create(file=("warm-up.bin", BLOCK), purpose="user_data")
    before = {pid: peak_memory_of(pid) for pid in product.children()}
    head = multipart_head("large.bin")
    connection = http.client.HTTPConnection(urlsplit(product.url).netloc, timeout=120)
    connection.putrequest("POST", "/v1/files")
    connection.putheader("Authorization", f"Bearer {key}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", str(len(head) + GIB + len(TAIL)))
    connection.endheaders()
    connection.send(head)
    for _ in range(GIB // len(BLOCK)):
        connection.send(BLOCK)
    connection.send(TAIL)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    assert answer.status == 200, body
    growth = {pid: peak_memory_of(pid) - peak for pid, peak in before.items()}
    print(f"growth of peak memory by process, MiB: {[round(size / MIB, 1) for size in growth.values()]}")
    assert max(growth.values()) < 64 * MIB
    with client_for(product, key) as client:
        made = next(file for file in client.files.list(limit=1))
        assert made.bytes == GIB
        digest = hashlib.sha256()
        with client.files.with_streaming_response.content(made.id) as content:
            for piece in content.iter_bytes(MIB):
                digest.update(piece)
        expected = hashlib.sha256()
        for _ in range(GIB // len(BLOCK)):
            expected.update(BLOCK)
        assert digest.hexdigest() == expected.hexdigest()
        client.files.delete(made.id)


@pytest.mark.parametrize("key_header", [b"", b"Authorization: Bearer sk-nobody-knows-this-key\r\n"])
def test_a_stranger_is_refused_before_anything_is_read(product: Product, key_header: bytes) -> None:
    size = 300 * MIB
    before = stored_bytes(product)
    host = urlsplit(product.url)
    with socket.create_connection((host.hostname, host.port), timeout=20) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        connection.sendall(
            b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\n"
            + key_header
            + f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n".encode()
            + f"Content-Length: {size}\r\n\r\n".encode()
            + multipart_head("stranger.bin")
        )
        # The answer must come although the body was hardly begun.
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 401"), answer
        assert b"x-request-id" in answer.lower()
        sent = 0
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and sent < size:
            try:
                sent += connection.send(BLOCK[: 64 * 1024])
            except OSError:
                break
    # What the kernel's buffers swallow is not read by the server; it closes long before the end.
    assert sent < 16 * MIB
    assert stored_bytes(product) - before < 64 * 1024


def test_more_than_the_limit_is_refused_by_its_declared_length(product: Product, key: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(product.url).netloc, timeout=20)
    connection.putrequest("POST", "/v1/files")
    connection.putheader("Authorization", f"Bearer {key}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 413, body
    assert b'"code":"request_too_large"' in body.replace(b" ", b"")


def test_the_client_class_matches_the_error(product: Product) -> None:
    with client_for(product, "sk-nobody-knows-this-key") as client, pytest.raises(openai.AuthenticationError):
        client.models.list()
