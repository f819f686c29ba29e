"""Deleting while a provider is down: answered at once, and a minute after it is back nothing is left."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.emulators import running_azurite, running_s3
from tests.end_to_end.conftest import GEMINI, config
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.product import Product
from tests.requirements import azurite

pytestmark = [
    pytest.mark.xdist_group("deletion"),
    pytest.mark.slow,
    pytest.mark.skipif(azurite() is None, reason="Azurite is not installed"),
]

DOWN_SECONDS = 5.0
PROMISED_SECONDS = 60.0
BUCKET = "to-be-emptied"
STORAGES = ("local", "azure_storage", "s3")


@pytest.fixture
def s3() -> Iterator[str]:
    with running_s3(BUCKET) as address:
        yield address


@pytest.fixture
def product(fakes: FakeServers, s3: str, tmp_path: Path) -> Iterator[Product]:
    path = tmp_path / "config.yaml"
    path.write_text(config(fakes))
    with running_azurite(tmp_path / "azurite") as azure:
        environment = {
            "GEMINI_API_KEY": "AIza-main-0123456789abcdef",
            "STORAGE_EMULATOR_HOST": fakes.vertex_url,
            "AZURE_STORAGE_CONNECTION_STRING": azure,
            "PORTICO_S3_BUCKET": BUCKET,
            "PORTICO_S3_ENDPOINT_URL": s3,
            "PORTICO_S3_REGION": "eu-central-1",
            "PORTICO_S3_ACCESS_KEY_ID": "test",
            "PORTICO_S3_SECRET_ACCESS_KEY": "test",
        }
        with Product(tmp_path / "data", config=path, environment=environment) as running:
            yield running


def upload(client: httpx.Client, storage: str, data: bytes) -> str:
    form = {"purpose": "user_data", "target_storage": storage, "target_model_names": GEMINI}
    answer = client.post("/v1/files", data=form, files={"file": ("a.pdf", data)})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def rows(product: Product) -> dict[str, int]:
    with sqlite3.connect(product.data_dir / "portico.sqlite3", timeout=20) as database:
        tables = ("files_managedfile", "files_providerfilemapping")
        return {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


def blobs(product: Product) -> int:
    """How many there are in all three storages."""
    count = f"print('blobs', sum(1 for alias in {STORAGES} for blob in storage.blobs(alias)))"
    return int(product.manage("shell", "-v", "0", "-c", f"from files import storage; {count}").split()[-1])


def copies_left(fakes: FakeServers) -> int:
    return sum(not row["gone"] for row in fakes.gemini.files())


def test_a_minute_after_the_provider_is_back_nothing_is_left(product: Product, fakes: FakeServers) -> None:
    fakes.gemini.reset()
    headers = {"authorization": f"Bearer {product.create_key('deleter')}"}
    with httpx.Client(base_url=product.url, headers=headers, timeout=30, trust_env=False) as client:
        # Two files of the same bytes in each storage, and one of other bytes.
        ids = [
            upload(client, storage, samples.pdf() + b"%" + storage.encode() + tail)
            for storage in STORAGES
            for tail in (b"", b"", b"other")
        ]
        wait_until(lambda: copies_left(fakes) == len(ids), 30)
        fakes.gemini.fault(reset="before", times=-1)
        asked = []
        for file_id in ids:
            began = time.monotonic()
            assert client.delete(f"/v1/files/{file_id}").json()["deleted"] is True
            asked.append(time.monotonic() - began)
            assert client.get(f"/v1/files/{file_id}").status_code == 404
        time_down = time.monotonic() + DOWN_SECONDS
        wait_until(lambda: time.monotonic() > time_down, DOWN_SECONDS + 1)
        assert copies_left(fakes) == len(ids)
        told = client.get(f"/v1/files/{ids[0]}/deletion").json()
        assert told["status"] == "in_progress"
        fakes.gemini.clear_faults()
        back_at = time.monotonic()
        wait_until(lambda: not any(rows(product).values()) and not copies_left(fakes), PROMISED_SECONDS)
        seconds = time.monotonic() - back_at
        proofs = [client.get(f"/v1/files/{file_id}/deletion").json() for file_id in ids]
    print(f"answered in {max(asked) * 1000:.0f} ms at most; all gone {seconds:.1f} s after it was back")
    assert blobs(product) == 0
    assert max(asked) < 2
    assert {proof["status"] for proof in proofs} == {"finished"}
    assert sorted(proof["stored_bytes"] for proof in proofs) == ["removed"] * 6 + ["shared"] * 3


def wait_until(check: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)
