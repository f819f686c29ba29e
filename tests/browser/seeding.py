"""Fills a running product with a month of calls, teams and people; run by `manage.py shell`."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal

from django.db.models import F
from django.utils import timezone

from files.models import ManagedFile, ProviderFileMapping
from portal.models import Membership, Settings, Team, User, VirtualKey
from portal.services import keys, teams
from portal.services.audit import Actor
from portal.services.usage_rows import UsageRow, write

MODELS = (
    ("gemini-3.5-flash", "gemini", "Google AI Studio"),
    ("gpt-5.4", "openai", "OpenAI"),
)
FAILURES = (
    (429, "rate_limit_exceeded", "Key over 120 requests per minute."),
    (503, "upstream_unavailable", "The model is overloaded. Please try again later."),
    (502, "upstream_authentication_failed", "The provider refused the account's credentials."),
    (409, "file_not_ready", "The file is still being processed."),
    (499, "", ""),
)
NAMES = ("Support bot", "Research", '<script>alert("team")</script>', "Data platform")
ACTOR = Actor.system("seeding")
HUGE = 40 * 2**20


def seed(calls: int = 900, days: int = 30) -> None:
    dice = random.Random(7)
    held = [(team, _key(team)) for team in (*Team.objects.all(), *(_team(name) for name in NAMES))]
    write([_row(dice, number, *dice.choice(held), days) for number in range(calls)])


def one_more(request_id: str) -> None:
    """A call that ends now."""
    key = VirtualKey.objects.select_related("team").latest("pk")
    row = _row(random.Random(1), 0, key.team, key, 0)
    row.call_id, row.request_id, row.started_at = f"call_{request_id}", request_id, timezone.now()
    write([row])


def _team(name: str) -> Team:
    figures = {"max_budget": 20, "budget_duration": "30d"} if name != "Research" else {}
    team = teams.create_team(actor=ACTOR, name=name, figures=figures)
    person = User.objects.create_user(f"{name[:3].lower().strip('<')}@example.com", None, first_name=name)
    teams.set_member(actor=ACTOR, team=team, user=person, role=Membership.Role.ADMIN)
    return team


def _key(team: Team) -> VirtualKey:
    return keys.create_key(actor=ACTOR, team=team, name=f"prod of {team.name}", figures={"max_budget": 5})[0]


def _row(dice: random.Random, number: int, team: Team, key: VirtualKey, days: int) -> UsageRow:
    model, provider, account = dice.choice(MODELS)
    status, code, message = dice.choice(FAILURES) if dice.random() < 0.12 else (200, "", "")
    took = dice.randint(300, 9_000)
    attempts = [{"deployment": "d", "provider": provider, "status": status, "code": code, "ms": took // 2}]
    if status == 200 and dice.random() < 0.2:
        broken = {"status": 503, "code": "upstream_unavailable", "ms": took // 3}
        attempts.insert(0, attempts[0] | broken)
    return UsageRow(
        call_id=f"call_seed{number:08}",
        request_id=f"req_seed{number:08}",
        started_at=timezone.now() - timedelta(minutes=dice.random() ** 2 * days * 1440),
        endpoint="/v1/chat/completions",
        status=status,
        team_id=team.pk,
        key_id=key.pk,
        caller_name=key.name,
        model=model,
        provider=provider,
        provider_model=model,
        account_name=account,
        is_stream=dice.random() < 0.5,
        error_code=code,
        error_message=message,
        input_tokens=dice.randint(100, 40_000) if status == 200 else 0,
        output_tokens=dice.randint(10, 2_000) if status == 200 else 0,
        cost=Decimal(dice.randint(1, 90_000)) / 1_000_000 if status == 200 else None,
        duration_ms=took,
        first_token_ms=took // 4,
        attempts=attempts,
        warnings=["top_k was dropped: gpt-5.4 does not take it"] if dice.random() < 0.05 else [],
    )


def keep_contents() -> None:
    """Switches on that requests and answers are kept; prints a key of the owner's and its number."""
    settings = Settings.current()
    settings.general = {**settings.general, "store_bodies": True}
    settings.save()
    owner = User.objects.order_by("pk").first()
    team = Team.objects.get(team_id="default")
    _, secret = keys.create_key(actor=ACTOR, team=team, name="playing", user=owner)
    print(secret)


def hold_copies(*, are_ready: bool) -> None:
    """Makes Gemini's copies of the quarterly report wait at the provider, or gives them back."""
    files = ManagedFile.objects.filter(filename="quarterly report.pdf")
    copies = ProviderFileMapping.objects.filter(file__in=files, account__provider="gemini")
    # Too large to go along with a request, as far as anyone can tell.
    files.update(size=F("size") + (-HUGE if are_ready else HUGE))
    if are_ready:
        copies.update(state="active", lease_owner="", lease_until=None)
    else:
        until = timezone.now() + timedelta(hours=1)
        copies.update(state="processing", lease_owner="the tests", lease_until=until)
