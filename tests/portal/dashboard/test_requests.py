"""The list of requests and one request: what is found, what is told, what stays hidden."""

from __future__ import annotations

import csv
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.db import DatabaseError
from django.http import QueryDict
from django.test import Client
from django.utils import timezone

from files.models import ManagedFile
from portal.dashboard import reasons, request_filters, sums
from portal.dashboard.request_filters import DEFAULT_RANGE, RequestFilters
from portal.models import Team, UsageRecord, VirtualKey
from portal.services import keys
from portal.services.audit import Actor
from providers import errors
from tests.portal.dashboard.conftest import call, text_of


def test_a_team_sees_its_own_calls_and_no_others(
    member_browser: Client, rival_browser: Client, team: Team, rival: Team
):
    own, foreign = call(team), call(rival)
    listed = text_of(member_browser, "/requests/")
    assert own in listed
    assert foreign not in listed
    assert member_browser.get(f"/requests/{foreign}/").status_code == 404
    assert rival_browser.get(f"/requests/{foreign}/").status_code == 200
    assert foreign not in member_browser.get("/requests/csv/").content.decode()
    assert f"/requests/{foreign}/" not in text_of(member_browser, f"/requests/?q={foreign}")
    assert f"/requests/{foreign}/" not in text_of(member_browser, f"/search/?q={foreign}")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("outcome=failed", {2, 3}),
        ("outcome=server", {3}),
        ("model=gemini", {4}),
        ("slower=10s", {5}),
        ("dearer=1", {6}),
        ("code=rate_limit_exceeded", {2}),
        ("q=overloaded", {3}),
        ("range=1h&endpoint=/v1/embeddings", {7}),
        ("provider=gemini", {4}),
        ("model=gemini&provider=openai", set()),
        ("model=gemini&outcome=failed", set()),
        ("model=gpt&outcome=failed&range=30d", {2, 3}),
        ("model=gpt&outcome=ok&slower=10s", {5}),
        ("model=of-the-rival", set()),
        ("outcome=nonsense&slower=nonsense&team=-1&key=x", {1, 2, 3, 4, 5, 6, 7}),
    ],
)
def test_filters_narrow_the_list(
    query: str, expected: set[int], member_browser: Client, team: Team, rival: Team
):
    call(team, 1)
    call(team, 2, status=429, error_code="rate_limit_exceeded", cost=None)
    call(team, 3, status=503, error_code="upstream_unavailable", error_message="It is overloaded", cost=None)
    call(team, 4, model="gemini", provider="gemini")
    call(team, 5, duration_ms=20_000)
    call(team, 6, cost=Decimal(3))
    call(team, 7, endpoint="/v1/embeddings")
    call(rival, 1, model="of-the-rival")
    listed = text_of(member_browser, f"/requests/?{query}")
    assert {number for number in range(1, 8) if f"req_{team.pk}_{number}/" in listed} == expected


def test_calls_with_a_file_are_found_and_the_file_is_named(
    member_browser: Client, team: Team, file: ManagedFile
):
    used = [{"file_id": file.pk, "delivery": "copy", "bytes": 10}]
    with_file, without = call(team, 1, files=used), call(team, 2)
    listed = text_of(member_browser, f"/requests/?file={file.pk}")
    assert with_file in listed
    assert without not in listed
    assert "blue secrets.pdf" in text_of(member_browser, f"/requests/{with_file}/")


def test_text_is_found_in_names_of_keys_however_many_calls_came_later(
    member_browser: Client, team: Team, rival: Team, key: VirtualKey, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(request_filters, "MOST_SEARCHED", 2)
    monkeypatch.setattr(request_filters, "MOST_FAILURES", 1)
    old = call(team, 9, key_id=key.pk, caller_name="as it was called then")
    failed = call(team, 8, status=503, error_message="It is overloaded")
    too_old = call(team, 7, caller_name="somebody else")
    for number in (1, 2, 3):
        call(team, number)
    call(rival, 1, error_message="It is overloaded", status=503)
    for text, wanted in (("BLUE KEY", {old}), ("overloaded", {failed}), ("somebody", set())):
        shown = text_of(member_browser, f"/requests/?q={text}")
        assert {one for one in (old, failed, too_old) if f"{one}/" in shown} == wanted
        assert f"req_{rival.pk}_1/" not in shown


def test_a_key_of_the_team_is_found_however_many_of_others_have_its_name(
    member_browser: Client, team: Team, rival: Team, actor: Actor, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(request_filters, "MOST_NAMED", 1)
    monkeypatch.setattr(request_filters, "MOST_SEARCHED", 1)
    own, _ = keys.create_key(actor=actor, team=team, name="nightly job")
    old = call(team, 9, key_id=own.pk, caller_name="as it was called then")
    call(team, 1)
    for number in range(3):
        foreign, _ = keys.create_key(actor=actor, team=rival, name=f"nightly job {number}")
        call(rival, number + 1, key_id=foreign.pk)
    keys.delete_key(actor=actor, key=own)
    listed = text_of(member_browser, "/requests/?q=nightly")
    assert f"{old}/" in listed
    assert f"req_{rival.pk}_" not in listed


def test_a_foreign_file_in_a_call_is_not_named(rival_browser: Client, rival: Team, file: ManagedFile):
    shown = text_of(rival_browser, f"/requests/{call(rival, files=[{'file_id': file.pk}])}/")
    assert "blue secrets.pdf" not in shown


def test_a_request_id_is_found_however_old_it_is(member_browser: Client, team: Team):
    old = call(team, 1, started_at=timezone.now() - timedelta(days=300))
    assert old not in text_of(member_browser, "/requests/?range=30d")
    assert old in text_of(member_browser, f"/requests/?q={old}")


def test_an_empty_range_says_when_the_last_call_was(member_browser: Client, team: Team):
    assert "Nobody has called yet" in text_of(member_browser, "/requests/")
    call(team, 1, started_at=timezone.now() - timedelta(days=3))
    assert "3 d ago" in text_of(member_browser, "/requests/")


def test_a_failed_call_tells_the_reason_the_remedy_and_the_attempts(owner_browser: Client, team: Team):
    attempts = [
        {"deployment": "a", "provider": "gemini", "status": 503, "code": "upstream_unavailable", "ms": 500},
        {"deployment": "b", "provider": "openai", "status": 502, "code": "upstream_error", "ms": 250},
    ]
    failed = call(
        team,
        1,
        status=502,
        error_code="upstream_authentication_failed",
        error_message="bad key",
        attempts=attempts,
    )
    shown = text_of(owner_browser, f"/requests/{failed}/")
    assert "The provider refused our credentials." in shown
    assert "bad key" in shown
    assert 'href="/providers/"' in shown
    assert "Google AI Studio" in shown
    assert shown.count("part-1") == 2
    drawer = text_of(owner_browser, f"/requests/{failed}/", **{"HX-Request": "true"})
    assert "<html" not in drawer


def test_members_are_not_sent_to_pages_they_may_not_open(member_browser: Client, team: Team):
    failed = call(team, 1, status=502, error_code="upstream_authentication_failed")
    assert 'href="/providers/"' not in text_of(member_browser, f"/requests/{failed}/")


def test_pages_of_the_list_follow_each_other_without_gap_or_repeat(member_browser: Client, team: Team):
    now = timezone.now()
    wanted = [call(team, number, started_at=now) for number in range(120)]
    found: list[str] = []
    cursor = ""
    while True:
        shown = member_browser.get("/requests/", {"after": cursor}).context["slice"]
        found += [row.request_id for row in shown.rows]
        cursor = shown.next
        if not cursor:
            break
    assert sorted(found) == sorted(wanted)
    assert len(set(found)) == len(found)


def test_the_histogram_of_sums_and_of_single_rows_tell_the_same(member_browser: Client, team: Team):
    call(team, 1)
    call(team, 2, status=500, cost=None)
    by_sums = text_of(member_browser, "/requests/?range=7d")
    by_rows = text_of(member_browser, "/requests/?range=7d&q=key of")
    assert "2 requests, 1 failed, last 7 days" in by_sums
    assert "2 requests, 1 failed, last 7 days" in by_rows


def test_the_csv_holds_the_filtered_calls_and_no_formula(member_browser: Client, team: Team):
    call(team, 1, caller_name="=HYPERLINK(1)")
    call(team, 2, status=500)
    text = member_browser.get("/requests/csv/?outcome=ok").content.decode()
    rows = list(csv.DictReader(StringIO(text)))
    assert [row["caller_name"] for row in rows] == ["'=HYPERLINK(1)"]
    assert rows[0]["team"] == team.name


def test_markup_in_names_and_errors_is_shown_as_text(owner_browser: Client, team: Team):
    evil = "<img src=x onerror=alert(1)>"
    failed = call(team, 1, caller_name=evil, model=evil, status=500, error_message=evil)
    for path in ("/requests/", f"/requests/{failed}/", "/usage/?by=model", "/"):
        assert evil not in text_of(owner_browser, path)


def test_what_is_not_a_filter_counts_as_not_given():
    filters = RequestFilters.read(QueryDict("range=9y&file=../etc&key=99999999999999999999&q=%00a"))
    assert filters.range == DEFAULT_RANGE
    assert (filters.file, filters.key, filters.q) == ("", "", "a")
    assert filters.since < filters.until


def test_every_code_of_our_errors_is_explained_in_words():
    found: set[type[errors.PorticoError]] = set()
    waiting = [errors.PorticoError]
    while waiting:
        kind = waiting.pop()
        found.add(kind)
        waiting += kind.__subclasses__()
    codes = {kind.code for kind in found if kind.__module__ == "providers.errors"}
    of_pages = {
        "not_found", "method_not_allowed", "conflict", "unsupported_media_type", "service_unavailable",
        "insufficient_storage", "upstream_cache_gone",
    }  # fmt: skip
    assert codes - of_pages - set(reasons.REASONS) == set()


@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 409, 413, 418, 429, 451, 499, 500, 502, 503, 504, 599]
)
def test_every_status_has_a_reason_even_with_an_unknown_code(status: int):
    reason = reasons.reason_for(status, "never heard of")
    assert reason is not None
    assert reason.title
    assert reason.remedy


def test_a_broken_part_of_the_overview_leaves_the_rest_whole(
    owner_browser: Client, team: Team, key: VirtualKey, monkeypatch: pytest.MonkeyPatch
):
    def fail(*args: object) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(sums, "by_day", fail)
    text = text_of(owner_browser, "/")
    assert "Could not be loaded" in text
    assert "Latest requests" in text
    assert UsageRecord.objects.count() == 0
