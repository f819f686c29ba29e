"""Files belong to teams: everything that is not the caller's does not exist."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from files import services
from files.models import ManagedFile, ProviderFileMapping
from portal.models import ProviderAccount, Team
from portal.services.access import Caller
from providers.errors import FileNotFound, InvalidRequest, NotFound
from tests.fakes import samples
from tests.files.conftest import MakeFile, store

pytestmark = pytest.mark.django_db(transaction=True)
FOLDER = Path(settings.STORAGES["local"]["OPTIONS"]["location"])


def test_a_file_is_answered_as_openai_answers_it(make_file: MakeFile, team: Team, caller: Caller) -> None:
    file = make_file(samples.pdf(), "Bericht ü.pdf", declared_media_type="application/octet-stream")
    body = services.to_openai(file)
    assert body == services.to_openai(services.get_file(caller=caller, file_id=file.pk))
    assert body["id"].startswith("file-")
    assert len(body["id"]) >= 27
    assert body["object"] == "file"
    assert body["bytes"] == len(samples.pdf())
    assert body["filename"] == "Bericht ü.pdf"
    assert body["status"] == "processed"
    assert body["expires_at"] is None
    assert abs(body["created_at"] - timezone.now().timestamp()) < 5
    assert (file.team, file.media_type, file.key_id) == (team, "application/pdf", caller.key_id)


def test_a_neighbour_sees_nothing_of_a_file(make_file: MakeFile, rival_caller: Caller) -> None:
    file = make_file(samples.pdf())
    other = "file-" + "A" * 24
    answers = []
    for file_id in (file.pk, other):
        for act in (services.get_file, services.delete_file):
            with pytest.raises(FileNotFound) as caught:
                act(caller=rival_caller, file_id=file_id)
            answers.append(caught.value.message.replace(file_id, "ID"))
    assert set(answers) == {"No such File object: ID"}
    assert services.list_files(caller=rival_caller).files == []
    with pytest.raises(InvalidRequest):
        services.list_files(caller=rival_caller, after=file.pk)
    assert ManagedFile.objects.get(pk=file.pk).deleted_at is None


@pytest.mark.parametrize(
    "file_id", ["", "x", "file-abc", "files/abc", "gs://a/b", "file-" + "a" * 10_000, "\0\ud800"]
)
def test_impossible_ids_are_simply_unknown(caller: Caller, file_id: str) -> None:
    with pytest.raises(FileNotFound) as caught:
        services.get_file(caller=caller, file_id=file_id)
    assert len(caught.value.message) < 200
    caught.value.message.encode()


def test_a_deleted_file_is_gone_at_once(make_file: MakeFile, caller: Caller) -> None:
    file = make_file(samples.pdf())
    services.delete_file(caller=caller, file_id=file.pk)
    with pytest.raises(FileNotFound):
        services.get_file(caller=caller, file_id=file.pk)
    with pytest.raises(FileNotFound):
        services.delete_file(caller=caller, file_id=file.pk)
    assert services.list_files(caller=caller).files == []


def test_a_file_past_its_date_is_gone_at_once(make_file: MakeFile, caller: Caller) -> None:
    file = make_file(samples.pdf(), expires_in=3600)
    assert services.to_openai(file)["expires_at"] == int(file.created_at.timestamp()) + 3600
    ManagedFile.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(FileNotFound):
        services.get_file(caller=caller, file_id=file.pk)


def test_pages_follow_each_other_without_gap_or_repetition(make_file: MakeFile, caller: Caller) -> None:
    made = [make_file(b"x", f"{number}.txt") for number in range(5)]
    same = timezone.now()
    ManagedFile.objects.filter(pk__in=[file.pk for file in made[1:4]]).update(created_at=same)
    for order in ("asc", "desc"):
        seen: list[str] = []
        after = None
        while True:
            page = services.list_files(caller=caller, limit=2, after=after, order=order)
            seen += [file.pk for file in page.files]
            if not page.has_more:
                break
            after = page.files[-1].pk
        assert len(seen) == len(set(seen)) == 5
    assert [file.purpose for file in services.list_files(caller=caller, purpose="batch").files] == []
    assert len(services.list_files(caller=caller, purpose="user_data").files) == 5


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": "world-domination"}, "purpose"),
        ({"expires_in": 3599}, "expires_after[seconds]"),
        ({"expires_in": 10**12}, "expires_after[seconds]"),
        ({"filename": "a\r\nx.pdf"}, "file"),
        ({"filename": "a\0.pdf"}, "file"),
        ({"filename": "\ud800.pdf"}, "file"),
        ({"filename": "a" * 5000}, "file"),
        ({"storage": "azure_storage"}, "target_storage"),
    ],
)
def test_what_is_refused_names_its_parameter_and_leaves_no_bytes(
    caller: Caller, fields: dict[str, object], param: str
) -> None:
    kept = store(samples.pdf())
    values: dict[str, object] = {"filename": "a.pdf", "purpose": "user_data"} | fields
    with pytest.raises(InvalidRequest) as caught:
        services.create_file(caller=caller, stored=kept, **values)  # type: ignore[arg-type]  # one is wrong
    assert caught.value.param == param
    assert not (FOLDER / kept.key).exists()
    assert not ManagedFile.objects.exists()


def test_an_empty_file_is_refused(make_file: MakeFile) -> None:
    with pytest.raises(InvalidRequest, match="empty"):
        make_file(b"")


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_a_senseless_limit_is_refused(caller: Caller, limit: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        services.list_files(caller=caller, limit=limit)
    assert caught.value.param == "limit"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..\\x", "CON", "<img onerror=1>.png", "=cmd()", "x\u202egpj.exe"]
)
def test_odd_names_are_kept_exactly_and_name_no_place(make_file: MakeFile, name: str) -> None:
    file = make_file(samples.pdf(), name)
    assert services.to_openai(file)["filename"] == name
    assert name not in file.blob


def test_copies_are_asked_for_once_for_each_account(
    make_file: MakeFile, gemini: ProviderAccount, openai: ProviderAccount
) -> None:
    file = make_file(samples.pdf(), account_ids=[gemini.pk, openai.pk, gemini.pk], target_models=["a", "b"])
    copies = services.copies_of(file)
    assert [copy.account for copy in copies] == [gemini, openai]
    assert {(copy.state, copy.purpose) for copy in copies} == {("pending", "user_data")}
    assert file.target_models == ["a", "b"]


def test_the_status_is_error_only_when_every_copy_failed(
    make_file: MakeFile, caller: Caller, gemini: ProviderAccount, openai: ProviderAccount
) -> None:
    file = make_file(samples.pdf(), account_ids=[gemini.pk, openai.pk])
    file.copies.filter(account=gemini).update(state="failed")
    assert services.to_openai(services.get_file(caller=caller, file_id=file.pk))["status"] == "processed"
    file.copies.update(state="failed")
    assert services.to_openai(services.list_files(caller=caller).files[0])["status"] == "error"


def test_a_failed_copy_is_sent_again_by_its_owner_alone(
    make_file: MakeFile, caller: Caller, rival_caller: Caller, gemini: ProviderAccount
) -> None:
    file = make_file(samples.pdf(), account_ids=[gemini.pk])
    copy = services.copies_of(file)[0]
    ProviderFileMapping.objects.update(state="failed", error="no", attempts=7)
    with pytest.raises(NotFound):
        services.send_again(caller=rival_caller, mapping_id=copy.pk)
    assert ProviderFileMapping.objects.get().state == "failed"
    again = services.send_again(caller=caller, mapping_id=copy.pk)
    assert (again.state, again.attempts, again.error) == ("pending", 0, "")
