"""What a budget says: figures as requests give them, checked, and the windows that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple

from django.utils.dateparse import parse_date, parse_datetime

from portal.models import BudgetWindow
from portal.services import durations, options, validation
from providers.errors import InvalidRequest, UnsupportedParameter

LENT = ("temp_budget_increase", "temp_budget_expiry")
FIELDS = ("max_budget", "soft_budget", "budget_duration", "budget_limits", "model_max_budget", *LENT)
MOST_DOLLARS = Decimal(10) ** 7
MOST_WINDOWS = 10
MOST_MODELS = 100
OF_A_MODEL = frozenset({"budget_limit", "max_budget", "time_period", "budget_duration"})
"""What an entry of `model_max_budget` may hold, in the words of both of LiteLLM's spellings."""

Place = tuple[str, int]
"""Model ("" for all) and position of a window."""


class Figures(NamedTuple):
    """Of one window: dollars that may be spent, from which an alert is due, and lent for a while."""

    duration: str = ""
    most: Decimal | None = None
    soft: Decimal | None = None
    increase: Decimal | None = None
    increase_ends_at: datetime | None = None


def money(value: object, param: str) -> Decimal | None:
    """Dollars; None for none."""
    amount = validation.amount(value)
    if amount is None:
        return None
    if not amount.is_finite() or not 0 <= amount <= MOST_DOLLARS:
        raise InvalidRequest(f"`{param}` must be dollars from 0 to {MOST_DOLLARS}.", param=param)
    return amount.quantize(Decimal("1e-12"))


def wanted(rows: Mapping[Place, BudgetWindow], changes: Mapping[str, Any]) -> dict[Place, Figures]:
    """The windows as they are to be: those that stand, with the changes."""
    main = rows.get(("", 0))
    whole = figures_of(main) if main else Figures()
    if "max_budget" in changes:
        whole = whole._replace(most=money(changes["max_budget"], "max_budget"))
    if "soft_budget" in changes:
        whole = whole._replace(soft=money(changes["soft_budget"], "soft_budget"))
    if "budget_duration" in changes:
        whole = whole._replace(duration=durations.checked(changes["budget_duration"]))
    if not changes.keys().isdisjoint(LENT):
        whole = _lent(whole, changes)
    if whole.most is None:
        whole = whole._replace(increase=None, increase_ends_at=None)
    found: dict[Place, Figures] = {}
    if whole.most is not None or whole.soft is not None:
        found["", 0] = whole
    if "budget_limits" in changes:
        found |= _extra(changes["budget_limits"])
    else:
        found |= {place: figures_of(row) for place, row in rows.items() if not place[0] and place[1] > 0}
    if "model_max_budget" in changes:
        found |= _by_model(changes["model_max_budget"])
    else:
        found |= {place: figures_of(row) for place, row in rows.items() if place[0]}
    return found


def figures_of(row: BudgetWindow) -> Figures:
    return Figures(row.duration, row.max_budget, row.soft_budget, row.increase, row.increase_ends_at)


def _lent(whole: Figures, changes: Mapping[str, Any]) -> Figures:
    """`temp_budget_increase` dollars more until `temp_budget_expiry`; both together, or both null."""
    given = [changes.get(name) for name in LENT]
    if given[0] in (None, "") and given[1] in (None, ""):
        return whole._replace(increase=None, increase_ends_at=None)
    increase = money(given[0], LENT[0])
    if increase is None or given[1] in (None, ""):
        raise InvalidRequest(f"`{LENT[0]}` and `{LENT[1]}` go together.", param=LENT[increase is not None])
    if whole.most is None:
        raise InvalidRequest(f"`{LENT[0]}` needs a `max_budget`.", param=LENT[0])
    return whole._replace(increase=increase, increase_ends_at=_end_of(given[1]))


def _end_of(written: object) -> datetime:
    """A moment, or a day that has begun; without a zone in UTC."""
    try:
        text = written if isinstance(written, str) else ""
        day = parse_date(text)
        found = datetime.combine(day, time()) if day else parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise InvalidRequest(f"`{LENT[1]}` must be a moment like 2026-01-31T12:00:00Z.", param=LENT[1])
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _extra(written: object) -> dict[Place, Figures]:
    """`budget_limits`: [{budget_duration, max_budget}], several windows at once."""
    if written is None:
        return {}
    if not isinstance(written, Sequence) or isinstance(written, str) or len(written) > MOST_WINDOWS:
        raise InvalidRequest(
            f"`budget_limits` must be a list of at most {MOST_WINDOWS} windows.", param="budget_limits"
        )
    found: dict[Place, Figures] = {}
    for number, item in enumerate(written, start=1):
        param = f"budget_limits[{number - 1}]"
        window = options.mapping(item, param)
        if unknown := set(window) - {"budget_duration", "max_budget", "reset_at", "spend"}:
            raise InvalidRequest(f"`{param}` does not take `{min(unknown)}`.", param=param)
        most = money(window.get("max_budget"), f"{param}.max_budget")
        if most is None:
            raise InvalidRequest(f"`{param}` needs a `max_budget`.", param=param)
        duration = durations.checked(window.get("budget_duration"), param=f"{param}.budget_duration")
        found["", number] = Figures(duration, most)
    return found


def _by_model(written: object) -> dict[Place, Figures]:
    """`model_max_budget`: {model: {budget_limit, time_period}} or {model: dollars}."""
    return {
        (name, 0): Figures(item["time_period"], money(item["budget_limit"], "model_max_budget"))
        for name, item in by_model(written).items()
    }


def by_model(written: object) -> dict[str, dict[str, Any]]:
    """The same as it is kept: `budget_limit` as text, `time_period`."""
    if written is None:
        return {}
    models = options.mapping(written, "model_max_budget")
    if len(models) > MOST_MODELS:
        raise InvalidRequest(
            f"`model_max_budget` takes at most {MOST_MODELS} models.", param="model_max_budget"
        )
    found = {}
    for name, item in models.items():
        param = f"model_max_budget.{name}"
        figures = item if isinstance(item, Mapping) else {"budget_limit": item}
        if unknown := [key for key, value in figures.items() if key not in OF_A_MODEL and value is not None]:
            raise UnsupportedParameter(
                f"`{param}` does not take `{str(unknown[0])[:100]}`; `model_rpm_limit` and `model_tpm_limit`"
                " bound a model's calls.",
                param=param,
            )
        most = money(figures.get("budget_limit", figures.get("max_budget")), param)
        if most is None:
            raise InvalidRequest(f"`{param}` needs a `budget_limit`.", param=param)
        period = durations.checked(figures.get("time_period", figures.get("budget_duration")), param=param)
        found[name] = {"budget_limit": str(most), "time_period": period}
    return found
