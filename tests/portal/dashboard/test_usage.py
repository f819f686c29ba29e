"""The bill: every view adds up to the same, and each sees only their own."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.test import Client
from django.utils import timezone

from portal.dashboard import charts, usage
from portal.dashboard.sums import Month
from portal.models import Team, User, VirtualKey
from portal.services import keys, teams
from portal.services.audit import Actor
from tests.portal.dashboard.conftest import call, text_of


@pytest.fixture
def spent(team: Team, rival: Team, key: VirtualKey, member: User) -> Decimal:
    """What both teams spent this month."""
    now = timezone.now()
    call(team, 1, started_at=now, cost=Decimal("1.5"), key_id=key.pk, tags=["nightly"])
    call(
        team, 2, started_at=now, cost=Decimal("0.0001"), user_id=member.pk, model="gemini", provider="gemini"
    )
    call(team, 3, started_at=now, status=500, cost=None)
    call(rival, 1, started_at=now, cost=Decimal(2))
    return Decimal("3.5001")


@pytest.mark.parametrize("by", ["team", "model", "key", "user", "provider", "endpoint"])
def test_every_view_and_its_csv_add_up_to_the_same(by: str, owner_browser: Client, spent: Decimal):
    assert "$3.50" in text_of(owner_browser, f"/usage/?by={by}")
    rows = list(csv.DictReader(StringIO(owner_browser.get(f"/usage/csv/?by={by}").content.decode())))
    assert sum(Decimal(row["cost_usd"]) for row in rows) == spent
    assert sum(int(row["requests"]) for row in rows) == 4
    assert sum(int(row["failed"]) for row in rows) == 1


@pytest.mark.parametrize("by", ["key", "user"])
def test_what_the_dearest_leave_over_is_one_line_and_the_table_adds_up(
    by: str, owner_browser: Client, team: Team, member: User, actor: Actor, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(usage, "MOST_GROUPS", 2)
    for number, cost in enumerate((3, 1, 7, 5, 2), start=1):
        made, _ = keys.create_key(actor=actor, team=team, name=f"program {number}")
        person = User.objects.create_user(f"person{number}@example.com")
        call(team, number, started_at=timezone.now(), cost=Decimal(cost), key_id=made.pk, user_id=person.pk)
    text = text_of(owner_browser, f"/usage/?by={by}")
    names = [f"program {n}" if by == "key" else f"person{n}@example.com" for n in range(1, 6)]
    table = text.split("<tbody", 1)[1]
    assert [name for name in names if name in table] == [names[2], names[3]]
    rest = table.split("All others", 1)[1]
    assert "$6.00" in rest
    assert "$18.00" in text


def test_a_team_sees_what_it_spent_itself(member_browser: Client, spent: Decimal, team: Team, rival: Team):
    text = text_of(member_browser, "/usage/")
    assert "$1.50" in text
    assert rival.name not in text
    for path in (f"/usage/?team={rival.pk}&by=model", f"/usage/csv/?team={rival.pk}"):
        assert "2.00" not in member_browser.get(path).content.decode().split("How this is counted")[0]


def test_tags_are_for_those_who_see_all_teams(owner_browser: Client, member_browser: Client, spent: Decimal):
    assert "nightly" in text_of(owner_browser, "/usage/?by=tag")
    assert "nightly" not in text_of(member_browser, "/usage/?by=tag")
    assert "nightly" not in member_browser.get("/usage/csv/?by=tag").content.decode()


def test_a_group_can_be_looked_into(owner_browser: Client, spent: Decimal, team: Team, key: VirtualKey):
    text = text_of(owner_browser, f"/usage/?team={team.pk}&by=key")
    assert key.hint in text
    assert "Team: Blue" in text
    assert "$1.50" in text


def test_other_months_are_reached_and_nonsense_is_this_month(owner_browser: Client, team: Team):
    call(team, 1, started_at=datetime(2026, 3, 5, tzinfo=UTC), cost=Decimal("7.77"))
    assert "$7.77" in text_of(owner_browser, "/usage/?month=2026-03")
    assert "$7.77" not in text_of(owner_browser, "/usage/?month=13-2026")
    assert "$7.77" not in text_of(owner_browser, "/usage/?month=2999-01")


def test_what_was_deleted_keeps_its_line(owner_browser: Client, spent: Decimal, actor: Actor, rival: Team):
    number = rival.pk
    teams.delete_team(actor=actor, team=rival)
    assert f"Deleted team {number}" in text_of(owner_browser, "/usage/?by=team")


def test_a_budget_shows_beside_its_team(owner_browser: Client, actor: Actor, spent: Decimal, team: Team):
    teams.update_team(actor=actor, team=team, figures={"max_budget": 80, "budget_duration": "30d"})
    assert "of $80.00" in text_of(owner_browser, "/usage/?by=team")
    assert "of $80.00" in text_of(owner_browser, "/teams/")


def test_the_forecast_goes_on_at_the_same_pace():
    month = Month(2026, 11)
    halfway = month.start + timedelta(days=15)
    assert usage.forecast(Decimal(10), month, halfway) == 20
    assert usage.forecast(Decimal(10), month, month.start + timedelta(hours=5)) is None
    assert usage.forecast(Decimal(10), month, month.end) is None


def test_months_know_their_neighbours():
    assert str(Month(2026, 1).before) == "2025-12"
    assert str(Month(2026, 12).after) == "2027-01"
    assert Month(2024, 2).length == 29
    assert Month.read("2026-02", date(2026, 11, 20)) == Month(2026, 2)


def test_bars_fill_the_height_and_stack():
    points = [charts.Point("a", (10, 10), ("10", "10")), charts.Point("b", (0, 5), ("0", "5"))]
    chart = charts.bars("x", ("day", "good", "bad"), points)
    assert [(piece.y, piece.height, piece.part) for piece in chart.pieces] == [
        ("50.00", "50.00", 0),
        ("0.00", "50.00", 1),
        ("75.00", "25.00", 1),
    ]
    assert charts.bars("x", ("day",), []).is_empty


def test_spans_follow_each_other_and_never_leave_the_picture():
    spans = charts.spans([300, 900], 1_000)
    assert [(span.x, span.width) for span in spans] == [("0.00", "25.00"), ("25.00", "75.00")]
