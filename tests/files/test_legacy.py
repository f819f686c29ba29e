"""Ids that clients hold from LiteLLM get help, or mean the file that they were mapped to."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from files import legacy, services
from files.database import in_thread
from files.resolve import resolve
from portal.models import ProviderAccount
from portal.services.access import Caller
from providers.errors import FileNotFound
from providers.gemini import PROVIDER as GEMINI
from providers.messages import Reference
from tests.files.conftest import MakeFile


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


UNIFIED = encoded(
    "litellm_proxy:application/pdf;unified_id,6c0b5890-8914-48e0-b8f4-0ae5ed3c14a5;"
    "target_model_names,gpt-4o-mini-openai,gemini-2.0-flash;llm_output_file_id,file-abc;"
    "llm_output_file_model_id,0a1b2c"
)
ENCODED = "file-" + encoded("litellm:file-abc123;model,gpt-4o")


@pytest.mark.parametrize("value", [UNIFIED, UNIFIED + "==", ENCODED])
def test_litellms_ids_are_recognised(value: str) -> None:
    assert legacy.is_legacy(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "file-abc",
        "file-" + "A" * 24,
        encoded("something else entirely that is long"),
        "x" * 9000,
        "\ud800" * 30,
    ],
)
def test_other_ids_are_not(value: str) -> None:
    assert not legacy.is_legacy(value)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("value", [UNIFIED, ENCODED])
def test_an_id_that_nobody_mapped_is_answered_with_help(caller: Caller, value: str) -> None:
    with pytest.raises(FileNotFound, match="LiteLLM") as caught:
        services.get_file(caller=caller, file_id=value)
    assert caught.value.code == "litellm_file_id"
    assert "map_file_ids" in caught.value.message


@pytest.mark.django_db(transaction=True)
async def test_a_mapped_id_means_its_file_for_its_team_alone(
    make_file: MakeFile, caller: Caller, rival_caller: Caller, gemini: ProviderAccount, tmp_path: Path
) -> None:
    file = await in_thread(make_file, b"old content", "a.txt")
    path = tmp_path / "ids.csv"
    path.write_text(f"{UNIFIED},{file.pk}\n{ENCODED},{file.pk}\n")
    await in_thread(call_command, "map_file_ids", str(path))
    found = await in_thread(services.get_file, caller=caller, file_id=UNIFIED)
    assert found == file
    resolved = await resolve(
        caller=caller,
        references=[Reference(ENCODED, "file", "messages[0].content[0]")],
        account_id=gemini.pk,
        provider=GEMINI,
        connection=await in_thread(gemini.connection),
        wait_seconds=5,
    )
    assert list(resolved.files) == [ENCODED]
    with pytest.raises(FileNotFound) as caught:
        await in_thread(services.get_file, caller=rival_caller, file_id=UNIFIED)
    assert caught.value.code == "litellm_file_id"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"{UNIFIED},file-nobody", "there is no file"),
        ("file-abc,ID", "no id of LiteLLM"),
        ("only one", "must be"),
    ],
)
def test_a_wrong_line_maps_nothing(make_file: MakeFile, tmp_path: Path, line: str, why: str) -> None:
    file = make_file(b"x", "a.txt")
    path = tmp_path / "ids.csv"
    path.write_text(f"{ENCODED},{file.pk}\n{line.replace('ID', file.pk)}\n")
    with pytest.raises(CommandError, match=why):
        call_command("map_file_ids", str(path))
    assert not file.legacy_ids.exists()
