"""One call's row in the ledger, filled while the call runs and handed over exactly once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from portal.gateway.recording import Recording
from portal.services import contents, spend, usage
from portal.services.access import Caller
from portal.services.catalog import DeploymentPlan
from portal.services.journal import journal
from portal.services.limits import Ticket
from portal.services.usage import Tokens, UsageRow
from providers.errors import PorticoError

CLIENT_LEFT = 499
"""nginx's status for a caller who went away before the answer was complete."""
TEXT_FIELDS = ("content", "text", "tool_calls", "function", "arguments", "input", "prompt", "parts")
ASKED_FIELDS = ("messages", "input", "prompt", "contents", "content", "requests")
"""Where the bodies of the endpoints hold what the model reads."""
LONGEST_MODEL = 300


class Settlement:
    """Attempts, tokens and cost of one call. `row.call_id` is ours, so that no caller's id counts money."""

    __slots__ = (
        "_after",
        "_began",
        "_body",
        "_done",
        "_plan",
        "_refused_cost",
        "asked_tokens",
        "cache_written",
        "fallbacks",
        "headers",
        "is_admission_refused",
        "is_bounded",
        "key_spend",
        "notes",
        "recording",
        "row",
        "service_tier",
        "tickets",
    )

    def __init__(self, *, caller: Caller, body: Mapping[str, Any], request_id: str, endpoint: str) -> None:
        model = body.get("model")
        self._body = body
        self.cache_written = 0
        self.asked_tokens = 0
        """An estimate, for a call whose process dies."""
        self.service_tier: object = None
        """The tier that the provider says it served the call in."""
        self._began = time.monotonic()
        self._done = False
        self._plan: DeploymentPlan | None = None
        self._after: list[Callable[[UsageRow], None]] = []
        self.key_spend = spend.of_key(caller.key_id, caller.key_spend) if caller.key_id else None
        """Dollars that the key had spent before this call."""
        self.fallbacks = 0
        """How many other models were tried so far, for want of the one that was asked for."""
        self.is_admission_refused = False
        """Was it limits or budgets that ended the call, or the last model of it?"""
        self.is_bounded = False
        """Was the answer kept shorter than the caller asked, because of a budget?"""
        self.tickets: list[Ticket] = []
        """What the call holds of its limits, to be given back when it is settled."""
        self._refused_cost: Decimal | None = None
        self.headers: dict[str, str] = {}
        """For the answer, whether it succeeds or not."""
        self.notes: list[str] = []
        """Warnings that are about the call rather than about one attempt."""
        self.recording = Recording.of(caller, body)
        """What is asked and heard, where the operator keeps it."""
        self.row = UsageRow(
            call_id=f"call_{random.getrandbits(96):024x}",
            request_id=request_id,
            started_at=datetime.now(UTC),
            endpoint=endpoint,
            status=0,
            team_id=caller.team_id,
            key_id=caller.key_id,
            user_id=caller.user_id,
            caller_name=caller.name,
            model=model[:LONGEST_MODEL] if isinstance(model, str) else "",
            is_stream=bool(body.get("stream")),
        )

    def when_settled(self, do: Callable[[UsageRow], None]) -> None:
        """Calls it once with the finished row, whatever becomes of the call."""
        self._after.append(do)

    def begin_attempt(self, plan: DeploymentPlan) -> None:
        """From now on this deployment is the one that served the call."""
        row = self.row
        self._plan = plan
        row.deployment_id = plan.deployment_id
        row.provider = plan.provider.name
        row.provider_model = plan.provider_model
        row.account_name = plan.account_name
        journal.began(row, self.asked_tokens, plan.prices.cost(Tokens(input=self.asked_tokens)))

    def end_attempt(self, began: float, status: int, code: str = "") -> None:
        """`began` by time.monotonic(); `status` 200 or that of the error the attempt ended with."""
        assert self._plan is not None
        self.row.attempts.append(
            {
                "deployment": self._plan.deployment_id,
                "provider": self._plan.provider.name,
                "model": self._plan.model,
                "status": status,
                "code": code,
                "ms": _milliseconds(began),
                **({"fallback": self.fallbacks} if self.fallbacks else {}),
            }
        )

    @property
    def began(self) -> float:
        """By time.monotonic()."""
        return self._began

    @property
    def lacks_price(self) -> bool:
        """Is the price of the deployment that served the call unknown?"""
        return self._plan is not None and self._plan.prices.is_unknown

    def note_cache_written(self, tokens: int) -> None:
        """Tokens that were put into a cache for this call; the provider charges them beside its input."""
        self.cache_written += tokens

    def note_refused(self, reported: object) -> None:
        """What an answer cost that its content filter kept back, when another model is asked in its place."""
        if self._plan is not None and isinstance(reported, dict) and reported:
            cost = self._plan.prices.cost(Tokens.of(reported))
            if cost is not None:
                self._refused_cost = (self._refused_cost or Decimal(0)) + cost

    def note_first_token(self) -> None:
        self.row.first_token_ms = _milliseconds(self._began)

    def hear(self, answer: Mapping[str, Any]) -> None:
        """Keeps a whole answer, where answers are kept."""
        if self.recording is not None:
            self.recording.hear(dict(answer))

    def succeed(self, answer: Mapping[str, Any]) -> Decimal | None:
        """Settles a whole answer and returns what it cost."""
        self.service_tier = answer.get("service_tier")
        reported = answer.get("usage")
        return self._settle(200, reported, 0 if reported else answer_characters(answer))

    def complete(self, reported: object, characters: int) -> Decimal | None:
        """Settles what came to its end, and returns what it cost; see _count for the arguments."""
        return self._settle(200, reported, characters)

    def complete_from_cache(self) -> Decimal | None:
        """Settles a call that was answered without asking a provider."""
        self.row.cache_hit = True
        return self.complete_free()

    def complete_free(self) -> Decimal | None:
        """Settles a call that providers do not charge for."""
        self.row.cost = Decimal(0)
        return self._settle(200, None, None)

    def fail(self, error: PorticoError, reported: object = None, characters: int | None = None) -> None:
        """Settles a call that ended with an error. Without arguments nothing was used."""
        self._settle(error.status, reported, characters, error.code, error.message)

    def leave(self, reported: object = None, characters: int = 0) -> None:
        """Settles a call whose caller went away, after an estimate of what was asked when nobody counted."""
        said = characters if self._plan is not None else None
        self._settle(CLIENT_LEFT, reported, said, "client_disconnected")

    def _settle(
        self, status: int, reported: object, characters: int | None, code: str = "", message: str = ""
    ) -> Decimal | None:
        row = self.row
        if self._done:
            return row.cost
        self._done = True
        row.status, row.error_code, row.error_message = status, code, message
        row.duration_ms = _milliseconds(self._began)
        row.warnings, self.notes = [*self.notes, *row.warnings], []
        self._count(reported, characters)
        if self._refused_cost is not None:
            row.cost = (row.cost or Decimal(0)) + self._refused_cost
        usage.record(row)
        if self.recording is not None:
            contents.record(self.recording.finished(row))
        for do in self._after:
            do(row)
        return row.cost

    def _count(self, reported: object, characters: int | None) -> None:
        """`reported`: the provider's `usage`; without one, `characters` of output give an estimate (None:
        the call reached no provider)."""
        row = self.row
        if isinstance(reported, dict) and reported:
            tokens = Tokens.of(reported)
            row.usage = reported
        elif characters is not None:
            row.is_estimated = True
            tokens = Tokens(
                input=usage.estimated_tokens(
                    sum(text_characters(self._body.get(name)) for name in ASKED_FIELDS)
                ),
                output=usage.estimated_tokens(characters),
            )
        else:
            return
        row.input_tokens, row.output_tokens = tokens.input, tokens.output
        row.cached_tokens, row.reasoning_tokens = tokens.cached, tokens.reasoning
        if self._plan is not None:
            if self.cache_written:
                tokens = replace(tokens, cache_written=self.cache_written)
            tier = self.service_tier if isinstance(self.service_tier, str) else ""
            row.cost = self._plan.prices.cost(tokens, tier)


def answer_characters(answer: Mapping[str, Any], part: str = "message") -> int:
    """Characters of text and tool arguments in an answer or (`part="delta"`) in one chunk of a stream."""
    total = 0
    for choice in answer.get("choices") or ():
        said = choice.get(part) or {}
        for name in ("content", "reasoning_content", "refusal"):
            text = said.get(name)
            if isinstance(text, str):
                total += len(text)
        for call in said.get("tool_calls") or ():
            total += len((call.get("function") or {}).get("arguments") or "")
    return total


def text_characters(value: object) -> int:
    """Characters of all texts in the messages; bytes written as base64 are no text."""
    match value:
        case str():
            return len(value)
        case list():
            return sum(text_characters(item) for item in value)
        case dict():
            return sum(text_characters(value.get(name)) for name in TEXT_FIELDS)
        case _:
            return 0


def _milliseconds(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
