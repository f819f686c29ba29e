"""The same done to several files: asked first, each file by the rights on it, failures told one by one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from files.models import FileRules, FileShare, ManagedFile, ProviderFileMapping
from portal.models import AuditEvent, Membership, ProviderAccount, Team, User
from portal.services import teams
from portal.services.audit import Actor
from tests.portal.dashboard.conftest import STATES, make_file, signed_in

SEVERAL = "/files/several/"
PART = {"HX-Request": "true"}


def post(browser: Client, job: str, *files: ManagedFile | str, **more: str):
    ids = [file if isinstance(file, str) else file.pk for file in files]
    return browser.post(SEVERAL, {"job": job, "id": ids, **more})


def live() -> set[str]:
    return set(ManagedFile.objects.filter(deleted_at=None).values_list("filename", flat=True))


@pytest.fixture
def three(team: Team) -> list[ManagedFile]:
    return [make_file(team, f"part-{number}.txt") for number in range(3)]


def test_nothing_happens_before_the_count_is_confirmed(member_browser: Client, three: list[ManagedFile]):
    text = post(member_browser, "delete", *three[:2]).content.decode()
    assert "Delete 2 files" in text
    assert "part-0.txt" in text
    assert "part-2.txt" not in text
    assert text.count("<h1") == 1
    assert len(live()) == 3


def test_the_question_comes_as_a_dialog_where_scripts_run(member_browser: Client, three: list[ManagedFile]):
    answer = member_browser.post(SEVERAL, {"job": "delete", "id": [three[0].pk]}, headers=PART)
    assert "<html" not in answer.content.decode()
    assert "Delete 1 file<" in answer.content.decode()


def test_deleting_several_leads_back_to_the_list_as_it_was_narrowed(
    member_browser: Client, three: list[ManagedFile]
):
    answer = post(member_browser, "delete", *three[:2], confirmed="yes", query="type=text")
    assert answer.status_code == 302
    assert answer["Location"] == "/files/?type=text"
    assert "2 files deleted" in member_browser.get("/files/").content.decode()
    assert live() == {"part-2.txt"}
    events = AuditEvent.objects.filter(action="file.deleted", object_type="managedfile")
    assert {event.object_id for event in events} == {three[0].pk, three[1].pk}
    assert {event.actor for event in events} == {"member@example.com"}


def test_a_rivals_file_among_them_is_left_alone_and_named_by_its_id_only(
    member_browser: Client, rival: Team, three: list[ManagedFile]
):
    foreign = make_file(rival, "red secrets.pdf")
    asked = post(member_browser, "delete", three[0], foreign).content.decode()
    assert "red secrets" not in asked
    told = post(member_browser, "delete", three[0], foreign, confirmed="yes").content.decode()
    assert "1 deleted, 1 not." in told
    assert foreign.pk in told
    assert "red secrets" not in told
    assert live() == {"red secrets.pdf", "part-1.txt", "part-2.txt"}


def test_a_file_shared_by_others_is_refused_with_its_reason(
    member_browser: Client, team: Team, rival: Team, three: list[ManagedFile]
):
    shared = make_file(rival, "red but shared.pdf")
    FileShare.objects.create(file=shared, team=team)
    told = post(member_browser, "delete", shared, three[0], confirmed="yes").content.decode()
    assert "red but shared.pdf" in told
    assert "Your role in this team does not allow that." in told
    assert "red but shared.pdf" in live()
    assert "part-0.txt" not in live()


def test_a_new_end_holds_for_all_but_those_whose_rules_end_them_earlier(
    owner_browser: Client, rival: Team, three: list[ManagedFile]
):
    FileRules.objects.create(team=rival, keep_days=7)
    bound = make_file(rival, "bound.txt")
    told = post(owner_browser, "extend", *three, bound, confirmed="yes", ends="90d").content.decode()
    assert "3 changed, 1 not." in told
    assert "The rules of its team end this file" in told
    three[0].refresh_from_db()
    assert three[0].expires_at is not None
    assert three[0].expires_at > timezone.now() + timedelta(days=89)
    bound.refresh_from_db()
    assert bound.expires_at is None
    post(owner_browser, "extend", three[0], confirmed="yes", ends="never")
    three[0].refresh_from_db()
    assert three[0].expires_at is None


def test_an_end_that_nobody_offered_changes_nothing(member_browser: Client, three: list[ManagedFile]):
    assert post(member_browser, "extend", three[0], confirmed="yes", ends="1000y").status_code == 400
    three[0].refresh_from_db()
    assert three[0].expires_at is None


def test_failed_copies_of_several_files_are_sent_again(
    member_browser: Client, three: list[ManagedFile], gemini_account: ProviderAccount
):
    for file in three[:2]:
        ProviderFileMapping.objects.create(file=file, account=gemini_account, state=STATES.FAILED)
    told = post(member_browser, "send", *three, confirmed="yes").content.decode()
    assert "2 sent again, 1 not." in told
    assert "None of its copies failed or ended." in told
    assert set(ProviderFileMapping.objects.values_list("state", flat=True)) == {STATES.PENDING}


@pytest.mark.parametrize(
    ("job", "ids"), [("delete", []), ("burn", ["file-" + "x" * 24]), ("delete", ["..", "\0"])]
)
def test_a_choice_of_nothing_leads_back(job: str, ids: list[str], member_browser: Client):
    answer = member_browser.post(SEVERAL, {"job": job, "id": ids, "confirmed": "yes"})
    assert answer.status_code == 302
    assert "Choose files first" in member_browser.get("/files/").content.decode()


def test_a_viewer_has_no_boxes_and_changes_nothing(team: Team, actor: Actor, three: list[ManagedFile]):
    viewer = User.objects.create_user("viewer@example.com", "correct horse battery")
    teams.set_member(actor=actor, team=team, user=viewer, role=Membership.Role.VIEWER)
    browser = signed_in(viewer)
    assert 'name="id"' not in browser.get("/files/").content.decode()
    assert "0 deleted, 1 not." in post(browser, "delete", three[0], confirmed="yes").content.decode()
    assert len(live()) == 3


def test_only_posts_are_answered(member_browser: Client):
    assert member_browser.get(SEVERAL).status_code == 405
