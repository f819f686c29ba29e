"""Addresses that are good for one file and end soon, in every storage that has such."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.files.storage import storages as django_storages
from google.oauth2 import service_account

from files import storage
from tests.files.storages.test_every_storage import Placed, stored


@pytest.fixture
def gcs_key(gcs: str) -> None:
    """Credentials that can sign, as a service account's are; the emulator asks for none."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    info = {
        "client_email": "portico@tests.iam.gserviceaccount.com",
        "token_uri": "http://127.0.0.1:9/token",
        "private_key": key.decode(),
    }
    make: Any = service_account.Credentials.from_service_account_info  # has no types
    made = make(json.loads(json.dumps(info)))
    configured: Any = django_storages[gcs]
    configured.bucket.client._credentials = made


@pytest.mark.parametrize("alias", ["azure_storage", "s3"])
async def test_an_address_leads_to_an_attachment_of_the_right_type(
    alias: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(alias)
    file = await stored(alias, b"%PDF-1.4 abc")
    url = storage.signed_url(file, 300, media_type="application/pdf", filename="Bericht für alle.pdf")
    assert url is not None
    answer = httpx.get(url, trust_env=False)
    assert answer.content == b"%PDF-1.4 abc"
    assert answer.headers["content-type"] == "application/pdf"
    assert (
        answer.headers["content-disposition"] == "attachment; filename*=utf-8''Bericht%20f%C3%BCr%20alle.pdf"
    )


async def test_s3_signs_for_a_quarter_of_an_hour_at_most(s3: str) -> None:
    url = storage.signed_url(Placed(s3, "aa/bb/cc", 3), 10**6)
    assert url is not None
    query = parse_qs(urlsplit(url).query)
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["900"]
    assert query["X-Amz-Signature"]


async def test_google_s_addresses_are_signed_by_the_service_account(gcs: str, gcs_key: None) -> None:
    file = Placed(gcs, "aa/bb/cc", 12)
    url = storage.signed_url(file, 10**6, media_type="application/pdf", filename="a.pdf")
    assert url is not None
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert query["X-Goog-Algorithm"] == "GOOG4-RSA-SHA256"
    assert query["X-Goog-Expires"] == "900"
    assert query["X-Goog-Signature"]
    assert query["response-content-type"] == "application/pdf"
    assert query["response-content-disposition"] == 'attachment; filename="a.pdf"'
    assert urlsplit(url).path.endswith(file.blob)


async def test_credentials_that_cannot_sign_give_no_address(gcs: str) -> None:
    assert storage.signed_url(Placed(gcs, "aa/bb/cc", 3), 60) is None


async def test_files_on_this_machine_have_no_address(local: str) -> None:
    assert storage.signed_url(await stored(local, b"abc"), 60) is None
