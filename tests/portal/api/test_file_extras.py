"""Files sent twice, shared, limited by rules, and proved to be gone."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone

from files import tasks
from files.models import FileRules, IdempotencyRecord, ManagedFile, Upload
from portal.models import Team

FORM = {"purpose": "user_data"}


def upload(client: httpx.Client, data: bytes = b"hello", key: str = "", **headers: str) -> httpx.Response:
    if key:
        headers["Idempotency-Key"] = key
    return client.post("/v1/files", data=FORM, files={"file": ("a.txt", data)}, headers=headers)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_file_sent_twice_with_one_key_is_one_file(client: httpx.Client, rival_client: httpx.Client) -> None:
    first, second = upload(client, key="k1"), upload(client, key="k1")
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert ManagedFile.objects.count() == 1
    other = upload(rival_client, key="k1")
    assert other.json()["id"] != first.json()["id"], "keys belong to teams"
    assert upload(client, key="k2").json()["id"] != first.json()["id"]


def test_a_key_that_was_used_for_something_else_is_refused(client: httpx.Client) -> None:
    upload(client, key="k")
    assert code_of(upload(client, b"another content", key="k")) == (409, "idempotency_key_reused")
    assert ManagedFile.objects.count() == 1


@pytest.mark.parametrize("key", ["x" * 256, "a\tb"])
def test_an_impossible_key_is_refused(client: httpx.Client, key: str) -> None:
    answer = upload(client, key=key)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "Idempotency-Key"


def test_a_request_that_failed_may_be_sent_again(client: httpx.Client) -> None:
    wrong = client.post(
        "/v1/files",
        data={"purpose": "nope1234x"},
        files={"file": ("a", b"x")},
        headers={"Idempotency-Key": "k"},
    )
    assert wrong.status_code == 400
    assert not IdempotencyRecord.objects.exists()
    assert upload(client, key="k").status_code == 200


def test_twenty_at_once_make_one_file(client: httpx.Client) -> None:
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(upload(client, key="k"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ManagedFile.objects.count() == 1
    assert {answer.status_code for answer in answers} <= {200, 409}
    busy = [answer for answer in answers if answer.status_code == 409]
    assert {code_of(answer) for answer in busy} <= {(409, "idempotency_in_progress")}
    assert all(answer.headers["retry-after"] for answer in busy)


def test_a_dead_workers_claim_is_taken_over(client: httpx.Client) -> None:
    upload(client, key="k")
    ManagedFile.objects.all().delete()
    IdempotencyRecord.objects.update(answer=None, lease_until=timezone.now() - timedelta(seconds=1))
    assert upload(client, key="k").status_code == 200
    assert ManagedFile.objects.count() == 1


def test_keys_are_forgotten_after_a_day(client: httpx.Client) -> None:
    first = upload(client, key="k").json()
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert upload(client, key="k").json()["id"] != first["id"]
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=25))
    tasks.sweep_expired()
    assert not IdempotencyRecord.objects.exists()


def test_an_upload_begun_twice_with_one_key_is_one_upload(client: httpx.Client) -> None:
    body = {"purpose": "user_data", "filename": "a", "mime_type": "text/plain", "bytes": 3}
    headers = {"Idempotency-Key": "k"}
    first, second = (client.post("/v1/uploads", json=body, headers=headers).json() for _ in range(2))
    assert first == second
    assert Upload.objects.count() == 1
    other = client.post("/v1/uploads", json=body | {"bytes": 4}, headers=headers)
    assert code_of(other) == (409, "idempotency_key_reused")


def test_a_full_team_is_refused_before_its_bytes_are_taken(client: httpx.Client, team: Team) -> None:
    rules = FileRules.objects.create(team=team, max_files=1)
    assert upload(client).status_code == 200
    assert code_of(upload(client)) == (403, "file_count_quota_exceeded")
    FileRules.objects.filter(pk=rules.pk).update(max_files=None, max_bytes=8)
    assert code_of(upload(client)) == (403, "file_bytes_quota_exceeded")
    FileRules.objects.filter(pk=rules.pk).update(max_bytes=None, max_file_bytes=4)
    assert code_of(upload(client)) == (413, "file_too_large")
    FileRules.objects.filter(pk=rules.pk).update(max_file_bytes=None, max_bytes_per_day=6)
    answer = upload(client)
    assert code_of(answer) == (429, "daily_file_quota_exceeded")
    assert int(answer.headers["retry-after"]) > 0


def test_a_file_is_shared_and_taken_back(
    client: httpx.Client, rival_client: httpx.Client, rival: Team, team: Team
) -> None:
    file_id = upload(client).json()["id"]
    place = f"/v1/files/{file_id}"
    assert rival_client.get(place).status_code == 404
    assert rival_client.post(f"{place}/shares", json={"team_id": rival.team_id}).status_code == 404
    made = client.post(f"{place}/shares", json={"team_id": rival.team_id})
    assert (made.status_code, made.json()["team"]) == (200, "Red")
    assert rival_client.get(place).json()["id"] == file_id
    assert rival_client.get(f"{place}/content").content == b"hello"
    assert rival_client.delete(place).status_code == 403
    assert rival_client.get(f"{place}/shares").status_code == 403
    assert rival_client.post(f"{place}/shares", json={"team_id": team.team_id}).status_code == 403
    assert rival_client.delete(f"{place}/shares/{rival.team_id}").status_code == 403
    assert [row["team_id"] for row in client.get(f"{place}/shares").json()["data"]] == [rival.team_id]
    assert client.delete(f"{place}/shares/{rival.team_id}").json()["data"] == []
    assert rival_client.get(place).status_code == 404
    assert code_of(client.post(f"{place}/shares", json={"team_id": "nobody"})) == (404, "team_not_found")
    assert client.post(f"{place}/shares", json={"team_id": 3}).status_code == 400


def test_a_deletion_can_be_proved(client: httpx.Client, rival_client: httpx.Client) -> None:
    file_id = upload(client).json()["id"]
    place = f"/v1/files/{file_id}/deletion"
    assert code_of(client.get(place)) == (404, "deletion_not_found")
    client.delete(f"/v1/files/{file_id}")
    assert client.get(place).json()["status"] == "in_progress"
    tasks.delete_copies(file_id)
    body: dict[str, Any] = client.get(place).json()
    assert (body["status"], body["stored_bytes"], body["bytes"]) == ("finished", "removed", 5)
    assert code_of(rival_client.get(place)) == (404, "deletion_not_found")
