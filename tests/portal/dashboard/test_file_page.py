"""The page of one file: its history, its end, who else may use it, its twins, where it was used."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from files.models import FileRules, FileShare, ManagedFile
from portal.models import AuditEvent, Membership, Team, User
from portal.services import teams
from portal.services.audit import Actor
from tests.portal.dashboard.conftest import call, make_file, signed_in, text_of

PART = {"HX-Request": "true"}


def test_the_history_tells_who_did_what(member_browser: Client, member: User, team: Team, rival: Team):
    file = make_file(team, "plans.pdf", user=member)
    member_browser.post(f"/files/{file.pk}/end/", {"ends": "7d"})
    member_browser.post(f"/files/{file.pk}/shares/", {"team": rival.team_id})
    share = FileShare.objects.get(file=file)
    member_browser.post(f"/files/{file.pk}/shares/{share.team_id}/remove/")
    text = text_of(member_browser, f"/files/{file.pk}/")
    for words in ("changed when it ends", "shared it", "with Red", "stopped sharing it", "uploaded it"):
        assert words in text
    assert text.count("<b>member@example.com</b>") == 4
    assert FileShare.objects.count() == 0


def test_a_team_that_a_file_is_shared_with_uses_it_and_sees_no_history(
    rival_browser: Client, team: Team, rival: Team
):
    file = make_file(team, "plans.txt", media_type="text/plain", size=3)
    FileShare.objects.create(file=file, team=rival)
    text = text_of(rival_browser, f"/files/{file.pk}/")
    assert "plans.txt" in text
    assert "History" not in text
    assert "Shared with" not in text
    assert "/end/" not in text
    assert "Show the first lines" in text
    for path in ("end/", "shares/", "delete/"):
        assert rival_browser.post(f"/files/{file.pk}/{path}", {"ends": "7d", "team": "x"}).status_code == 403


@pytest.mark.parametrize("path", ["end/", "shares/", "requests/"])
def test_a_rivals_file_cannot_be_changed_or_watched(path: str, rival_browser: Client, file: ManagedFile):
    answer = rival_browser.post(f"/files/{file.pk}/{path}", {"ends": "never", "team": "x"})
    assert answer.status_code in (404, 405)
    assert rival_browser.get(f"/files/{file.pk}/{path}").status_code in (404, 405)
    assert not AuditEvent.objects.filter(object_type="managedfile").exists()


def test_the_end_of_a_file_moves_within_the_rules_of_its_team(
    member_browser: Client, file: ManagedFile, team: Team
):
    member_browser.post(f"/files/{file.pk}/end/", {"ends": "7d"})
    file.refresh_from_db()
    assert file.expires_at is not None
    assert timedelta(days=6) < file.expires_at - timezone.now() < timedelta(days=7, minutes=1)
    FileRules.objects.create(team=team, keep_days=30)
    member_browser.post(f"/files/{file.pk}/end/", {"ends": "never"})
    assert "The rules of its team end this file" in text_of(member_browser, f"/files/{file.pk}/")
    file.refresh_from_db()
    assert file.expires_at is not None


def test_a_team_of_ones_own_is_called_by_its_name_and_others_by_their_id(
    member_browser: Client, member: User, file: ManagedFile, rival: Team, actor: Actor
):
    place = f"/files/{file.pk}/shares/"
    member_browser.post(place, {"team": "Red"})
    assert "There is no such team" in text_of(member_browser, f"/files/{file.pk}/")
    teams.set_member(actor=actor, team=rival, user=member, role=Membership.Role.MEMBER)
    member_browser.post(place, {"team": "Red"})
    assert FileShare.objects.get(file=file).team == rival


def test_a_team_whose_files_stay_inside_is_told_so(
    member_browser: Client, file: ManagedFile, team: Team, rival: Team
):
    FileRules.objects.create(team=team, may_share=False)
    member_browser.post(f"/files/{file.pk}/shares/", {"team": rival.team_id})
    assert "keep its files inside the team" in text_of(member_browser, f"/files/{file.pk}/")
    assert not FileShare.objects.exists()


def test_files_with_the_same_bytes_are_named_but_not_those_of_other_teams(
    member_browser: Client, team: Team, rival: Team
):
    file = make_file(team, "first.pdf", sha256="a" * 64)
    make_file(team, "again.pdf", sha256="a" * 64)
    make_file(team, "another.pdf", sha256="b" * 64)
    make_file(rival, "theirs.pdf", sha256="a" * 64)
    text = text_of(member_browser, f"/files/{file.pk}/")
    assert "again.pdf" in text
    assert "another.pdf" not in text
    assert "theirs.pdf" not in text


def test_the_latest_calls_with_a_file_are_listed_with_and_without_scripts(
    member_browser: Client, file: ManagedFile, team: Team
):
    used = [{"file_id": file.pk, "delivery": "inline", "account": 1}]
    request_id = call(team, 1, files=used)
    other = call(team, 2)
    part = text_of(member_browser, f"/files/{file.pk}/requests/", **PART)
    assert request_id in part
    assert other not in part
    assert "<html" not in part
    assert request_id in text_of(member_browser, f"/files/{file.pk}/requests/")


def test_code_for_three_clients_names_this_file(member_browser: Client, file: ManagedFile):
    text = text_of(member_browser, f"/files/{file.pk}/")
    assert f"files/{file.pk}" in text
    for label in ("OpenAI SDK", "curl", "Google Gen AI SDK"):
        assert f'aria-label="{label}"' in text


def test_a_viewer_may_look_and_is_offered_no_change(team: Team, actor: Actor, file: ManagedFile):
    viewer = User.objects.create_user("viewer@example.com", "correct horse battery")
    teams.set_member(actor=actor, team=team, user=viewer, role=Membership.Role.VIEWER)
    text = text_of(signed_in(viewer), f"/files/{file.pk}/")
    assert "History" in text
    for path in ("/end/", "/shares/", "/delete/"):
        assert path not in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("type=image", {"cat.png"}),
        ("type=document", {"report.pdf", "letter.docx"}),
        ("type=text", {"rows.csv"}),
        ("type=other", {"blob.bin"}),
        ("type=odd", {"cat.png", "report.pdf", "letter.docx", "rows.csv", "blob.bin"}),
        ("provider=gemini", {"report.pdf"}),
        ("provider=gemini&state=failed", set()),
        ("provider=openai", set()),
    ],
)
def test_files_are_found_by_type_and_by_the_provider_of_their_copies(
    query: str, found: set[str], member_browser: Client, team: Team, gemini_account
):
    types = {
        "cat.png": "image/png",
        "report.pdf": "application/pdf",
        "letter.docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "rows.csv": "text/csv",
        "blob.bin": "application/octet-stream",
    }
    files = {name: make_file(team, name, media_type=media_type) for name, media_type in types.items()}
    files["report.pdf"].copies.create(account=gemini_account, state="active")
    text = text_of(member_browser, f"/files/?{query}", **PART)
    assert {name for name in types if f">{name}<" in text} == found


def test_the_meter_shows_what_the_team_keeps_of_what_it_may(member_browser: Client, team: Team, rival: Team):
    make_file(team, "a.pdf", size=3 * 2**20)
    make_file(rival, "b.pdf", size=700 * 2**20)
    assert "No limit" in text_of(member_browser, "/files/")
    FileRules.objects.create(team=team, max_bytes=10 * 2**20, max_files=100)
    text = text_of(member_browser, "/files/")
    assert "3.0 MB" in text
    assert "of 10.0 MB" in text
    assert 'aria-label="Storage used by Blue"' in text
