"""A file at one provider alone that the provider lost is made again from our bytes, under the id it had."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from django.conf import settings

from files import inline, raw
from files.database import in_thread
from files.models import RawFile
from files.resolve import forget
from portal.models import ProviderAccount
from portal.services.access import Caller
from providers.errors import FileNotFound
from providers.types import ProviderFile
from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.files.conftest import stored
from tests.files.test_resolve import ask, mention

pytestmark = pytest.mark.django_db(transaction=True)
FOLDER = Path(settings.STORAGES["local"]["OPTIONS"]["location"])
DATA = samples.pdf("raw") + bytes(17 << 20)
"""More than Gemini is given inline."""


@pytest.fixture
def account(request: pytest.FixtureRequest) -> ProviderAccount:
    found: ProviderAccount = request.getfixturevalue(request.param)
    return found


BOTH = pytest.mark.parametrize("account", ["gemini", "openai"], indirect=True)


async def put(caller: Caller, account: ProviderAccount) -> RawFile:
    kept = await stored(DATA)
    return await in_thread(
        lambda: raw.create_raw_file(
            caller=caller, stored=kept, filename="r.pdf", purpose="user_data", account_id=account.pk
        )
    )


async def shown_id(caller: Caller, account: ProviderAccount, row: RawFile) -> str:
    shown = (await ask(caller, account, mention(row.provider_file_id))).files[row.provider_file_id]
    assert isinstance(shown, ProviderFile)
    return shown.id


async def lose(caller: Caller, account: ProviderAccount, row: RawFile) -> None:
    """As the gateway does when the provider says that it has the file no more."""
    resolved = await ask(caller, account, mention(row.provider_file_id))
    await forget([row.provider_file_id], account.pk, used=resolved.used)


@BOTH
async def test_a_lost_file_is_made_again_and_keeps_its_id(
    account: ProviderAccount, caller: Caller, fakes: FakeServers
) -> None:
    row = await put(caller, account)
    fake = fakes.gemini if account.provider == "gemini" else fakes.openai
    fake.lose(fake.files()[0]["id"])
    await lose(caller, account, row)
    ids = set(await asyncio.gather(*(shown_id(caller, account, row) for _ in range(4))))
    assert row.provider_file_id not in ids
    assert len({await shown_id(caller, account, row) for _ in range(3)}) == 1
    assert sum(not file["gone"] for file in fake.files()) == 1, "of several made at once one is kept"
    await in_thread(row.refresh_from_db)
    assert row.lost_at is None
    found = await in_thread(lambda: raw.find_raw_file(caller=caller, file_id=row.provider_file_id))
    assert found is not None
    assert await in_thread(raw.delete_raw_file, found)
    assert all(file["gone"] for file in fake.files())


async def test_a_late_report_concerns_only_what_it_saw(
    caller: Caller, openai: ProviderAccount, fakes: FakeServers
) -> None:
    row = await put(caller, openai)
    first = await ask(caller, openai, mention(row.provider_file_id))
    fakes.openai.lose(fakes.openai.files()[0]["id"])
    for _ in range(3):
        await forget([row.provider_file_id], openai.pk, used=first.used)
        await shown_id(caller, openai, row)
    assert sum(fakes.openai.uploads().values()) == 2


async def test_without_our_bytes_the_answer_names_the_file(
    caller: Caller, openai: ProviderAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inline, "_cache", inline.Cache(1 << 20))
    row = await put(caller, openai)
    (FOLDER / row.blob).unlink()
    await lose(caller, openai, row)
    with pytest.raises(FileNotFound) as caught:
        await ask(caller, openai, mention(row.provider_file_id))
    assert (caught.value.status, caught.value.code) == (404, "file_lost")
    assert row.provider_file_id in caught.value.message
    assert "OpenAI no longer has the file" in caught.value.message
