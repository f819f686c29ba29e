"""A process of its own that resolves one file many times at once; prints how each ended, as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass

import django


@dataclass(frozen=True)
class Anyone:
    team_id: int
    team_ids: frozenset[int]
    is_admin: bool = False
    key_id: int | None = None
    user_id: int | None = None

    def may_use(self, model: str) -> bool:
        return True


def start(file_id: str, account_id: int, team_id: int, times: int) -> subprocess.Popen[bytes]:
    """Starts such a process on the database and the secrets of this test run."""
    from django.conf import settings
    from django.db import connection

    environment = os.environ | {
        "PORTICO_DATA_DIR": str(settings.DATA_DIR),
        "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
    }
    command = [sys.executable, "-m", "tests.files.cold_account"]
    command += [file_id, str(account_id), str(team_id), str(times)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)


async def main(file_id: str, account_id: int, team_id: int, times: int) -> list[str]:
    from files.resolve import resolve
    from portal.models import ProviderAccount
    from providers.gemini import PROVIDER
    from providers.messages import Reference
    from providers.types import ProviderFile

    account = await ProviderAccount.objects.aget(pk=account_id)
    reference = Reference(file_id, "file", "messages[0].content[0].file.file_id")

    async def once() -> str:
        resolved = await resolve(
            caller=Anyone(team_id, frozenset({team_id})),
            references=[reference],
            account_id=account_id,
            provider=PROVIDER,
            connection=account.connection(),
            wait_seconds=30,
        )
        shown = resolved.files[file_id]
        assert isinstance(shown, ProviderFile)
        return shown.id

    return list(await asyncio.gather(*(once() for _ in range(times))))


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    django.setup()
    from providers import registry
    from providers.gemini import PROVIDER as GEMINI

    registry.PROVIDERS = {**registry.PROVIDERS, "gemini": GEMINI}
    ids = asyncio.run(main(sys.argv[1], *(int(text) for text in sys.argv[2:])))
    print(json.dumps(ids))
