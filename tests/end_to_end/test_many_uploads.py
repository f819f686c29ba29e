"""Many and large uploads at once: in parts, side by side, in little memory."""

from __future__ import annotations

import hashlib
import http.client
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from tests.end_to_end.test_sizes import BLOCK, BOUNDARY, MIB, TAIL, multipart_head
from tests.product import Product, memory_of, peak_memory_of

pytestmark = [
    pytest.mark.xdist_group("product"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
    pytest.mark.slow,
]

PARTS = 32
PART = 64 * MIB
AT_ONCE = 100
EACH = 100 * MIB


def send(product: Product, key: str, path: str, name: str, size: int) -> tuple[int, bytes]:
    """One form with a file of that many bytes, sent as it is made."""
    head = multipart_head("large.bin").replace(b'name="file"', b'name="%s"' % name.encode())
    connection = http.client.HTTPConnection(urlsplit(product.url).netloc, timeout=300)
    connection.putrequest("POST", path)
    connection.putheader("Authorization", f"Bearer {key}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", str(len(head) + size + len(TAIL)))
    connection.endheaders()
    connection.send(head)
    for _ in range(size // len(BLOCK)):
        connection.send(BLOCK)
    connection.send(TAIL)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_two_gibibytes_in_parts_side_by_side(product: Product, key: str) -> None:
    before = {pid: peak_memory_of(pid) for pid in product.children()}
    md5 = hashlib.md5()
    for _ in range(PARTS * PART // len(BLOCK)):
        md5.update(BLOCK)
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=product.url, headers=headers, timeout=300, trust_env=False) as client:
        asked = {"purpose": "user_data", "filename": "a.bin", "mime_type": "", "bytes": PARTS * PART}
        upload_id = client.post("/v1/uploads", json=asked).json()["id"]

        def part(_: int) -> str:
            status, body = send(product, key, f"/v1/uploads/{upload_id}/parts", "data", PART)
            assert status == 200, body
            return str(httpx.Response(200, content=body).json()["id"])

        with ThreadPoolExecutor(4) as pool:
            ids = list(pool.map(part, range(PARTS)))
        body = {"part_ids": ids, "md5": md5.hexdigest()}
        done = client.post(f"/v1/uploads/{upload_id}/complete", json=body)
        assert done.status_code == 200, done.text
        file_id = done.json()["file"]["id"]
        assert client.get(f"/v1/files/{file_id}").json()["bytes"] == PARTS * PART
        client.delete(f"/v1/files/{file_id}")
    growth = {pid: peak_memory_of(pid) - peak for pid, peak in before.items()}
    print(f"growth of peak memory by process, MiB: {[round(size / MIB, 1) for size in growth.values()]}")
    assert max(growth.values()) < 32 * MIB


def test_a_hundred_uploads_of_a_hundred_megabytes_at_once(product: Product, key: str) -> None:
    highest = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.05):
            highest = max(highest, sum(memory_of(pid) for pid in product.children()))

    watcher = threading.Thread(target=watch)
    idle = sum(memory_of(pid) for pid in product.children())
    watcher.start()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda _: send(product, key, "/v1/files", "file", EACH)[0], range(AT_ONCE)))
    done.set()
    watcher.join()
    print(f"memory of all processes, MiB: {idle // MIB} idle, {highest // MIB} at most")
    assert answers == [200] * AT_ONCE
    assert highest < 600 * MIB + idle
