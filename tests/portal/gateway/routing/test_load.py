"""What calls leave behind for those that follow."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from portal.gateway.routing.load import Load, minute_of
from portal.services.usage import UsageRow


def row(status: int = 200, ms: int = 500, tokens: tuple[int, int] = (10, 5)) -> UsageRow:
    made = UsageRow(
        call_id="call_1", request_id="req", started_at=datetime.now(UTC), endpoint="chat", status=status,
        team_id=1, key_id=None, user_id=None, caller_name="c", model="m", is_stream=False,
    )  # fmt: skip
    made.attempts.append({"ms": ms})
    made.input_tokens, made.output_tokens = tokens
    return made


def test_a_call_takes_a_place_until_it_is_settled():
    load = Load()
    load.begin()
    load.begin()
    load.end()
    assert load.in_flight == 1
    load.settle(row(), is_stream=False)
    assert load.in_flight == 0
    assert load.used(minute_of(time.time())) == (2, 15)


def test_times_are_per_token_of_output_where_those_are_known():
    load, now = Load(), time.monotonic()
    load.settle(row(ms=500, tokens=(10, 5)), is_stream=False)
    assert abs(load.latency(now, 60, 10, is_stream=False) - 0.1) < 1e-9
    load.settle(row(ms=700, tokens=(10, 0)), is_stream=False)
    assert abs(load.latency(now, 60, 10, is_stream=False) - 0.4) < 1e-9


def test_a_stream_is_timed_by_its_first_piece_and_failures_by_their_timeout_only():
    load, now = Load(), time.monotonic()
    load.settle(row(ms=200), is_stream=True)
    load.settle(row(status=502, ms=9000), is_stream=True)
    assert abs(load.latency(now, 60, 10, is_stream=True) - 0.2) < 1e-9
    load.ran_out_of_time(1.0, is_stream=True)
    assert abs(load.latency(now, 60, 10, is_stream=True) - 0.6) < 1e-9


def test_figures_of_all_processes_hold_what_was_not_yet_shared():
    load, minute = Load(), minute_of(time.time())
    load.learn(minute, 5, 50)
    load.begin()
    load.learn(minute, 7, 70)
    assert load.used(minute) == (8, 70)
    load.learn(minute - 1, 99, 99)
    assert load.used(minute) == (8, 70)
