"""Lives through scenes in child processes that die where they are told to.

A process of its own that has loaded everything forks one child for each line of its input, so that scenes
begin at once and with clean threads. A child prints what it acknowledged; the parent, how it ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any

import django


class Scenes:
    """Runs scenes one after another."""

    def __init__(self) -> None:
        from django.conf import settings
        from django.db import connection

        environment = os.environ | {
            "PORTICO_DATA_DIR": str(settings.DATA_DIR),
            "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.files.crash"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def play(self, scene: str, kill_at: str = "", **given: Any) -> tuple[list[str], int]:
        """What was acknowledged, and the exit status (negative: the signal)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(
            json.dumps({"scene": scene, "kill_at": kill_at, "given": given}),
            file=self._process.stdin,
            flush=True,
        )
        acknowledged: list[str] = []
        while True:
            line = self._process.stdout.readline().strip()
            assert line, "the process of the scenes has ended"
            if line.startswith("ended "):
                return acknowledged, int(line.removeprefix("ended "))
            acknowledged.append(line)

    def close(self) -> None:
        self._process.communicate()


def upload(*, team_id: int, data: str, account_id: int = 0) -> str:
    from files import services, storage

    async def stored() -> storage.Stored:
        async with await storage.begin("local") as ingest:
            for start in range(0, len(data), 1 << 20):
                await ingest.write(data[start : start + (1 << 20)].encode())
            return await ingest.finish()

    file = services.create_file(
        caller=_anyone(team_id),
        stored=asyncio.run(stored()),
        filename="a.txt",
        purpose="user_data",
        account_ids=[account_id] if account_id else [],
    )
    return file.pk


def upload_in_parts(*, team_id: int, data: str) -> str:
    from files import parts, uploads

    caller = _anyone(team_id)
    upload = uploads.create_upload(
        caller=caller, filename="a.txt", purpose="user_data", size=len(data), alias="local"
    )
    part_ids = []

    async def part(piece: str) -> str:
        part_id, ingest = await parts.open_part(upload)
        async with ingest:
            await ingest.write(piece.encode())
            await ingest.finish()
        return part_id

    for piece in (data[:10], data[10:]):
        part_id = asyncio.run(part(piece))
        parts.add_part(upload, part_id=part_id, size=len(piece))
        part_ids.append(part_id)
    print(f"parts {upload.pk} {' '.join(part_ids)}", flush=True)
    done = uploads.complete_upload(caller=caller, upload_id=upload.pk, part_ids=part_ids)
    assert done.file is not None
    return done.file.pk


def part_that_breaks_off(*, team_id: int, data: str) -> str:
    """Of the second part only half has come."""
    from files import parts, uploads

    upload = uploads.create_upload(
        caller=_anyone(team_id), filename="a.txt", purpose="user_data", size=len(data), alias="local"
    )

    async def part(start: int, end: int) -> str:
        part_id, ingest = await parts.open_part(upload, start)
        async with ingest:
            await ingest.write(data[start:end].encode())
            await ingest.finish()
        return part_id

    third = len(data) // 3
    for start, is_cut_short in ((0, False), (third, True)):
        part_id = asyncio.run(part(start, start + third))
        parts.add_part(upload, part_id=part_id, size=third, offset=start, is_cut_short=is_cut_short)
        print(f"part {upload.pk} {part_id}", flush=True)
    return upload.pk


def sweep() -> str:
    from files import tasks

    tasks.sweep_copies()
    return "swept"


def delete(*, team_id: int, file_id: str) -> str:
    from files import services, tasks

    services.delete_file(caller=_anyone(team_id), file_id=file_id)
    print(f"deleted {file_id}", flush=True)
    tasks.delete_copies(file_id)
    return "swept"


def raw_upload(*, team_id: int, data: str, account_id: int) -> str:
    from files import raw, storage

    async def stored() -> storage.Stored:
        async with await storage.begin("local") as ingest:
            await ingest.write(data.encode())
            return await ingest.finish()

    row = raw.create_raw_file(
        caller=_anyone(team_id),
        stored=asyncio.run(stored()),
        filename="a.txt",
        purpose="user_data",
        account_id=account_id,
    )
    return row.provider_file_id


def raw_delete(*, team_id: int, file_id: str) -> str:
    from files import raw

    row = raw.find_raw_file(caller=_anyone(team_id), file_id=file_id)
    assert row is not None
    raw.delete_raw_file(row)
    return "swept"


SCENES: dict[str, Callable[..., str]] = {
    scene.__name__: scene
    for scene in (upload, upload_in_parts, part_that_breaks_off, sweep, delete, raw_upload, raw_delete)
}


def _anyone(team_id: int) -> Any:
    from tests.files.cold_account import Anyone

    return Anyone(team_id, frozenset({team_id}))


def _play(order: dict[str, Any]) -> None:
    """In the child: never returns."""
    status = 1
    try:
        if order["kill_at"]:
            os.environ["PORTICO_KILL_AT"] = order["kill_at"]
        print(f"done {SCENES[order['scene']](**order['given'])}", flush=True)
        status = 0
    except BaseException:  # noqa: BLE001 - the child must not return into the parent's loop
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _play(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(f"ended {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    django.setup()
    import files.raw
    import files.tasks  # noqa: F401 - loaded once, before the children

    main()
