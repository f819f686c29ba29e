"""The books stay right while callers leave, providers fail and processes are killed; calls arrive anyway.

The same with more calls: `python -m benchmarks chaos`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import chaos, failover
from tests.servers import needs_linux

pytestmark = [pytest.mark.xdist_group("chaos"), needs_linux]

CALLS = 500


async def test_the_ledger_says_what_the_providers_said_to_the_token(tmp_path: Path) -> None:
    plan = chaos.Plan(calls=CALLS, workers=2, kill_every=1.5)
    with chaos.running(tmp_path, plan) as (product, fakes, database):
        books = await chaos.wreak(product, fakes, database, plan)
    assert books.killed, "nothing was killed: the run was too short to say anything"
    assert books.seen["left"] > CALLS * plan.disconnects / 4
    assert len(books.counted) > CALLS / 2
    assert (books.missing, books.doubled, books.differences()) == ([], [], [])
    ledger, providers = books.tokens()
    assert ledger == providers
    assert (books.reservations, books.reserved) == (0, 0)


async def test_a_second_provider_takes_over_when_the_first_is_killed(tmp_path: Path) -> None:
    with failover.running(tmp_path, workers=2) as (product, first, database):
        outcome = await failover.fail_over(product, first, database, calls=400)
    # Only an answer that had begun when its provider died cannot come from another.
    assert outcome.calls - outcome.seen["answered"] == outcome.seen["stream broken off"] <= 16
    assert set(outcome.rows.values()) == {1}
    assert len(outcome.rows) == outcome.calls
    assert set(outcome.served_by) == {"gemini", "openai"}
