"""The files pages: lists, states, and that a rival team's files do not exist."""

from __future__ import annotations

import pytest
from django.test import Client

from files.models import ManagedFile, ProviderFileMapping
from portal.dashboard import file_filters
from portal.models import Team
from tests.portal.dashboard.conftest import STATES, make_file, text_of

PART = {"HX-Request": "true"}


def test_a_list_holds_the_files_of_ones_team_alone(
    member_browser: Client, rival_browser: Client, file: ManagedFile, rival: Team
):
    make_file(rival, "red secrets.pdf")
    assert "blue secrets" in member_browser.get("/files/").content.decode()
    assert "red secrets" not in member_browser.get("/files/").content.decode()
    assert "blue secrets" not in rival_browser.get("/files/").content.decode()


@pytest.mark.parametrize("page", ["", "copies/"])
def test_a_rivals_file_does_not_exist(
    page: str, rival_browser: Client, member_browser: Client, file: ManagedFile
):
    assert member_browser.get(f"/files/{file.pk}/{page}").status_code == 200
    assert rival_browser.get(f"/files/{file.pk}/{page}").status_code == 404


def test_a_rival_can_neither_delete_nor_resend_nor_watch(
    rival_browser: Client, file: ManagedFile, gemini_account
):
    copy = ProviderFileMapping.objects.create(file=file, account=gemini_account, state=STATES.FAILED)
    assert rival_browser.post(f"/files/{file.pk}/delete/").status_code == 404
    assert rival_browser.post(f"/files/{file.pk}/copies/{copy.pk}/again/").status_code == 404
    assert file.pk not in rival_browser.get(f"/files/states/?id={file.pk}").content.decode()
    copy.refresh_from_db()
    assert copy.state == STATES.FAILED


def test_deleting_hides_the_file_at_once(member_browser: Client, file: ManagedFile):
    response = member_browser.post(f"/files/{file.pk}/delete/")
    assert response.status_code == 303
    assert member_browser.get(f"/files/{file.pk}/").status_code == 404


def test_a_failed_copy_shows_why_and_can_be_sent_again(
    member_browser: Client, file: ManagedFile, gemini_account
):
    copy = ProviderFileMapping.objects.create(
        file=file, account=gemini_account, state=STATES.FAILED, error="The file has 1001 pages."
    )
    page = member_browser.get(f"/files/{file.pk}/").content.decode()
    assert "The file has 1001 pages." in page
    assert "Send again" in page
    answer = member_browser.post(f"/files/{file.pk}/copies/{copy.pk}/again/", headers=PART).content.decode()
    assert "Waiting" in answer
    assert "data-poll" in answer


def test_polling_ends_by_itself_when_no_copy_is_on_its_way(
    member_browser: Client, file: ManagedFile, gemini_account
):
    copy = ProviderFileMapping.objects.create(file=file, account=gemini_account, state=STATES.UPLOADING)
    busy = member_browser.get(f"/files/states/?id={file.pk}&turn=3", headers=PART).content.decode()
    assert "delay:2s" in busy
    assert f'id="copies-{file.pk}"' in busy
    copy.state = STATES.ACTIVE
    copy.save()
    done = member_browser.get(f"/files/states/?id={file.pk}&turn=4", headers=PART).content.decode()
    assert "data-poll" not in done
    assert "Ready" in done


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=report-3", {"report-3.pdf"}),
        ("q=nothing", set()),
        ("state=failed", {"report-4.pdf"}),
        ("state=working", {"report-0.pdf", "report-1.pdf", "report-2.pdf"}),
        ("purpose=batch", set()),
        ("state=odd&purpose=odd&team=x&after=odd", {f"report-{number}.pdf" for number in range(7)}),
    ],
)
def test_filters_find_what_they_say(
    query: str, found: set[str], member_browser: Client, lived_in: ManagedFile
):
    text = member_browser.get(f"/files/?{query}", headers=PART).content.decode()
    assert {f"report-{number}.pdf" for number in range(7) if f">report-{number}.pdf<" in text} == found


def test_long_lists_come_in_pages_that_neither_repeat_nor_miss(member_browser: Client, team: Team):
    names = {make_file(team, f"page-{number:03}.txt").filename for number in range(120)}
    seen: list[str] = []
    address = "/files/"
    while address:
        text = member_browser.get(address).content.decode()
        seen += [name for name in names if f">{name}<" in text]
        _, mark, rest = text.partition('href="/files/?after=')
        address = f"/files/?after={rest.partition(chr(34))[0]}" if mark else ""
    assert sorted(seen) == sorted(names)


def test_names_of_files_are_shown_as_text(member_browser: Client, team: Team):
    make_file(team, "<img src=x onerror=alert(1)>.pdf")
    text = member_browser.get("/files/").content.decode()
    assert "<img src=x" not in text
    assert "&lt;img src=x" in text


@pytest.mark.parametrize("name", ["file-%00", "..", "file-x'--", "9" * 3000])
def test_odd_ids_are_missed_and_nothing_worse(name: str, member_browser: Client):
    assert member_browser.get(f"/files/{name}/").status_code == 404


def test_the_playground_ticks_the_file_it_was_opened_for_and_no_rivals(
    member_browser: Client, rival_browser: Client, file: ManagedFile, gemini_model, openai_model
):
    own = member_browser.get(f"/playground/?file={file.pk}&model=gpt").content.decode()
    assert f'value="{file.pk}" data-name="blue secrets.pdf" checked' in own
    assert '<option value="gpt" selected>' in own
    assert "blue secrets" not in rival_browser.get(f"/playground/?file={file.pk}").content.decode()


def test_a_list_says_when_it_looked_through_the_newest_names_only(
    owner_browser: Client, team: Team, monkeypatch: pytest.MonkeyPatch
):
    for number in range(4):
        make_file(team, f"plan {number}.pdf")
    assert "newest" not in text_of(owner_browser, "/files/?q=plan")
    monkeypatch.setattr(file_filters, "MOST_SEARCHED", 2)
    shown = text_of(owner_browser, "/files/?q=plan")
    assert "plan 3.pdf" in shown
    assert "plan 0.pdf" not in shown
    assert "Names are looked for among the newest 2 files" in shown
    assert "Names are looked for among the newest 2 files" in text_of(owner_browser, "/files/?q=plan+0")
    assert "newest" not in text_of(owner_browser, "/files/")
