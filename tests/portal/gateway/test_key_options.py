"""What a key or a team may have otherwise: cheaper models, routing of its own, what its requests must say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import pytest
from django.utils import timezone

from files.database import in_thread
from portal.gateway.calls import Answer, chat
from portal.gateway.embeddings import embed
from portal.models import BudgetWindow, Reservation, Team, VirtualKey
from portal.services import catalog, keys, teams, usage
from portal.services.access import Caller, caller_for_token
from portal.services.audit import Actor
from portal.services.limits import limiter
from providers.errors import (
    BudgetExceeded,
    Forbidden,
    InvalidRequest,
    RateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from tests.portal.gateway.conftest import Configure, Deploy, Rows
from tests.portal.gateway.stub import Stub, answer, hang, status

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("counting")]

Have: TypeAlias = Callable[..., Awaitable[Caller]]

TEN = {"prompt_tokens": 5, "completion_tokens": 10, "total_tokens": 15}
DEAR = {"input_cost_per_token": "0", "output_cost_per_token": "0.01"}
CHEAP = {"input_cost_per_token": "0", "output_cost_per_token": "0.001"}
FREE = {"input_cost_per_token": "0", "output_cost_per_token": "0"}
ONCE = {"max_retries": 0}


@pytest.fixture
def have(key: VirtualKey, team: Team, secret: str, actor: Actor) -> Have:
    """The caller whose key and team were given options and figures."""

    def give(of_team: dict[str, Any] | None, figures: dict[str, Any], options: dict[str, Any]) -> Caller:
        keys.update_key(actor=actor, key=key, options=options, figures=figures)
        if of_team is not None:
            teams.update_team(actor=actor, team=team, options=of_team)
        catalog.refresh()
        return caller_for_token(secret)

    async def have_(
        figures: dict[str, Any] | None = None, team: dict[str, Any] | None = None, **options: Any
    ) -> Caller:
        return await in_thread(give, team, figures or {}, options)

    return have_


async def ask(caller: Caller, **more: Any) -> Answer:
    body = {"model": "a", "messages": [{"role": "user", "content": "Ten"}], "max_tokens": 10} | more
    answered = await chat(caller=caller, body=body, request_id="req_1", endpoint="/v1/chat/completions")
    assert isinstance(answered, Answer)
    return answered


def says(answered: Answer) -> str:
    found: str = answered.body["choices"][0]["message"]["content"]
    return found


async def spent() -> dict[tuple[str, str], Decimal]:
    rows = await in_thread(lambda: list(BudgetWindow.objects.all()))
    assert all(row.reserved == 0 for row in rows)
    assert not await in_thread(Reservation.objects.exists)
    return {(row.subject.partition(":")[0], row.model): row.spent for row in rows}


@pytest.fixture
async def three(stub: Stub, spare: Stub, deploy: Deploy) -> None:
    """`a` is dear, `b` cheap, `c` free."""
    await deploy(stub, "a", **DEAR, **ONCE)
    await deploy(spare, "b", **CHEAP, **ONCE)
    await deploy(spare, "c", **FREE, **ONCE)
    stub.otherwise = answer("From a", usage=TEN)
    spare.otherwise = answer("From the other", usage=TEN)


@pytest.mark.parametrize("holder", ["key", "team", "pattern"])
async def test_when_the_budget_for_a_model_is_spent_a_cheaper_one_answers(
    three: None, have: Have, rows: Rows, holder: str
):
    lists = {"*" if holder == "pattern" else "a": ["nobody", "b"]}
    figures = {"model_max_budget": {"a": 0.2}, "max_budget": 5}
    if holder == "team":
        caller = await have(figures, {"budget_fallbacks": lists})
    else:
        caller = await have(figures, budget_fallbacks=lists)
    said = [await ask(caller) for _ in range(4)]
    assert [says(each) for each in said] == ["From a", "From a", "From the other", "From the other"]
    assert said[1].headers["x-litellm-attempted-fallbacks"] == "0"
    moved = said[2]
    assert moved.body["model"] == "a"
    assert moved.headers["x-portico-fallback-model"] == "b"
    assert moved.headers["x-litellm-attempted-fallbacks"] == "1"
    told = "b was asked because no budget is left for a: budget_exceeded"
    assert told in moved.headers["x-portico-warnings"]
    served = {row.call_id: (row.model, row.status, row.cost, row.warnings) for row in await rows()}
    assert sorted(each[0] for each in served.values()) == ["a", "a", "b", "b"]
    assert [each[3] for each in served.values() if each[0] == "b"] == [[told], [told]]
    assert await spent() == {("key", ""): Decimal("0.22"), ("key", "a"): Decimal("0.2")}


async def test_as_many_calls_of_each_model_as_its_budget_pays_for_however_many_come_at_once(
    three: None, stub: Stub, spare: Stub, have: Have
):
    caller = await have({"model_max_budget": {"a": 0.5, "b": 0.1}}, budget_fallbacks={"a": ["b"], "b": ["c"]})
    said = await asyncio.gather(*(ask(caller) for _ in range(30)))
    assert stub.calls == 5
    assert spare.calls == 25
    served = [each.headers.get("x-portico-fallback-model") for each in said]
    assert (served.count(None), served.count("b"), served.count("c")) == (5, 10, 15)
    assert await usage.flush()
    assert await spent() == {("key", "a"): Decimal("0.5"), ("key", "b"): Decimal("0.1")}


async def test_a_key_whose_whole_budget_is_spent_goes_on_with_what_is_free(three: None, have: Have):
    caller = await have({"max_budget": 0.1}, budget_fallbacks={"a": ["b", "c"]})
    assert says(await ask(caller)) == "From a"
    moved = await ask(caller)
    assert moved.headers["x-portico-fallback-model"] == "c"
    assert "c was asked because no budget is left for b" in moved.headers["x-portico-warnings"]
    assert (await ask(caller, model="c")).headers["x-portico-response-cost"] == "0"
    with pytest.raises(BudgetExceeded):
        await ask(caller, model="b")
    assert await usage.flush()
    assert await spent() == {("key", ""): Decimal("0.1")}


@pytest.mark.parametrize("why", ["not allowed", "no budget", "switched off"])
async def test_a_cheaper_model_must_be_allowed_and_pay_for_itself(
    three: None, spare: Stub, have: Have, key: VirtualKey, actor: Actor, rows: Rows, why: str
):
    caller = await have({"model_max_budget": {"a": 0, "b": 0}}, budget_fallbacks={"a": ["b"]})
    if why != "no budget":
        caller = await have({"model_max_budget": {"a": 0}})
    if why == "not allowed":
        await in_thread(lambda: keys.update_key(actor=actor, key=key, allowed_models=["a"]))
        caller = await have()
    more = {"disable_fallbacks": True} if why == "switched off" else {}
    with pytest.raises(BudgetExceeded, match="The budget of this key, 0 dollars, is spent"):
        await ask(caller, **more)
    assert spare.calls == 0
    (row,) = await rows()
    assert (row.model, row.status, row.error_code) == ("a", 429, "budget_exceeded")


async def test_a_model_that_fails_hands_over_to_the_cheaper_one_of_its_fallback(
    three: None, stub: Stub, spare: Stub, configure: Configure, have: Have
):
    await configure(router={"fallbacks": [{"a": ["b"]}], "max_fallbacks": 5})
    caller = await have({"model_max_budget": {"b": 0}}, budget_fallbacks={"b": ["c"]})
    stub.otherwise = status(503)
    moved = await ask(caller)
    assert moved.headers["x-portico-fallback-model"] == "c"
    assert spare.calls == 1


async def test_cheaper_models_are_asked_even_where_failures_may_not_fall_back(
    three: None, configure: Configure, have: Have
):
    await configure(router={"max_fallbacks": 0})
    caller = await have({"model_max_budget": {"a": 0}}, budget_fallbacks={"a": ["b"]})
    assert (await ask(caller)).headers["x-portico-fallback-model"] == "b"


async def test_more_may_be_spent_for_a_while(three: None, have: Have):
    tomorrow = (timezone.now() + timedelta(days=1)).isoformat()
    bound = {"max_budget": 0.1, "temp_budget_increase": 0.1, "temp_budget_expiry": tomorrow}
    caller = await have(bound)
    await ask(caller)
    await ask(caller)
    with pytest.raises(BudgetExceeded, match=r"The budget of this key, 0\.2 dollars, is spent"):
        await ask(caller)
    await in_thread(lambda: BudgetWindow.objects.update(increase_ends_at=timezone.now(), spent=0))
    await ask(caller)
    with pytest.raises(BudgetExceeded, match=r"The budget of this key, 0\.1 dollars, is spent"):
        await ask(caller)


async def test_a_key_may_be_slowed_down_when_its_budget_is_spent(
    three: None, configure: Configure, have: Have
):
    await configure(litellm={"budget_exceeded_throttle_percentage": 0.2})
    bound = {"max_budget": 0.1, "budget_limits": [{"budget_duration": "1d", "max_budget": 0.6}]}
    caller = await have(bound, rpm_limit=25, throttle_on_budget_exceeded=True)
    assert "x-portico-warnings" not in (await ask(caller)).headers
    for _ in range(4):
        told = (await ask(caller)).headers["x-portico-warnings"]
        assert "the budget of this key is spent; its limits are reduced to 20%" in told
    with pytest.raises(RateLimited, match="The limit of 5 requests per minute of this api key is reached"):
        await ask(caller)
    limiter.local.windows.clear()
    await ask(caller)
    with pytest.raises(BudgetExceeded, match=r"0\.6 dollars"):
        await ask(caller)
    assert await usage.flush()
    rows = await in_thread(lambda: list(BudgetWindow.objects.order_by("position")))
    assert [row.spent for row in rows] == [Decimal("0.6"), Decimal("0.6")]
    assert [row.reserved for row in rows] == [Decimal(0), Decimal(0)]


@pytest.mark.parametrize("lacks", ["the wish", "a share", "a limit"])
async def test_a_key_that_cannot_be_slowed_down_is_stopped(
    three: None, configure: Configure, have: Have, lacks: str
):
    await configure(litellm={} if lacks == "a share" else {"budget_exceeded_throttle_percentage": 0.2})
    options: dict[str, Any] = {} if lacks == "a limit" else {"rpm_limit": 25}
    caller = await have({"max_budget": 0}, throttle_on_budget_exceeded=lacks != "the wish", **options)
    with pytest.raises(BudgetExceeded):
        await ask(caller)


@pytest.mark.parametrize("holder", ["key", "team"])
async def test_a_tag_may_have_a_limit_of_its_own(three: None, have: Have, holder: str):
    counts = {"tag_rpm_limit": {"cell-1": 2}}
    caller = await (have(**counts) if holder == "key" else have(team=counts))
    for _ in range(2):
        told = (await ask(caller, metadata={"tags": ["cell-1", "x"]})).headers
    assert told[f"x-ratelimit-tag_per_{holder}-remaining-requests"] == "0"
    with pytest.raises(RateLimited, match=f"The limit of 2 requests per minute of this tag per {holder}"):
        await ask(caller, tags=["cell-1"])
    await ask(caller, tags=["cell-2"])


@pytest.mark.parametrize(
    ("needed", "said"),
    [("user", {"user": "u1"}), ("metadata.job", {"metadata": {"job": "nightly"}, "store": False})],
)
async def test_requests_must_say_what_their_key_asks_for(
    three: None, have: Have, rows: Rows, needed: str, said: dict[str, Any]
):
    caller = await have(enforced_params=[needed])
    with pytest.raises(InvalidRequest, match=f"must say `{needed}`") as refused:
        await ask(caller, metadata={"other": "x"})
    assert (refused.value.param, refused.value.code) == (needed, "missing_parameter")
    with pytest.raises(InvalidRequest):
        await embed(caller=caller, body={"model": "a", "input": "x"}, request_id="r", endpoint="/e")
    await ask(caller, **said)
    assert {row.status for row in await rows()} == {200, 400}


async def test_a_key_may_be_kept_from_steering_the_cache(three: None, have: Have):
    caller = await have(allowed_cache_controls=["no-store"])
    await ask(caller, cache={"no-store": True, "no-cache": None})
    with pytest.raises(Forbidden, match=r"may not use cache\.no-cache") as refused:
        await ask(caller, cache={"no-store": True, "no-cache": True})
    assert refused.value.code == "cache_control_not_allowed"


async def test_a_key_routes_in_its_own_way_and_its_neighbour_as_ever(
    three: None,
    stub: Stub,
    spare: Stub,
    configure: Configure,
    have: Have,
    rival_caller: Caller,
):
    await configure(router={"fallbacks": [{"a": ["c"]}]})
    stub.otherwise = status(503)
    team = {"router_settings": {"fallbacks": [{"a": ["b"]}], "num_retries": 0}}
    caller = await have(team=team)
    assert (await ask(caller)).headers["x-portico-fallback-model"] == "b"
    assert (await ask(rival_caller)).headers["x-portico-fallback-model"] == "c"
    caller = await have(router_settings={"fallbacks": []})
    with pytest.raises(UpstreamUnavailable):
        await ask(caller)
    assert (await ask(rival_caller)).headers["x-portico-fallback-model"] == "c"


async def test_a_key_has_its_own_retries_names_and_strategy(
    stub: Stub, spare: Stub, deploy: Deploy, have: Have, rival_caller: Caller
):
    await deploy(stub, "a", input_cost_per_token="0.5", output_cost_per_token="0.5")
    await deploy(spare, "a", input_cost_per_token="0.1", output_cost_per_token="0.1")
    caller = await have(
        router_settings={
            "routing_strategy": "cost-based-routing",
            "num_retries": 0,
            "model_group_alias": {"small": "a", "quiet": {"model": "a", "hidden": True}},
        }
    )
    for name in ("a", "small", "quiet"):
        await ask(caller, model=name)
    assert (stub.calls, spare.calls) == (0, 3)
    spare.script.append(status(503))
    with pytest.raises(UpstreamUnavailable) as failure:
        await ask(caller)
    assert failure.value.headers["x-portico-attempts"] == "1"
    spare.script.append(status(503))
    stub.script.append(status(503))
    assert (await ask(rival_caller)).headers["x-portico-attempts"] in {"1", "2", "3"}


async def test_a_key_has_its_own_times_where_the_deployment_has_none(
    stub: Stub, spare: Stub, deploy: Deploy, have: Have
):
    await deploy(stub, "a", **ONCE)
    await deploy(spare, "b", timeout=30, **ONCE)
    caller = await have(router_settings={"timeout": 0.2})
    stub.script.append(hang())
    with pytest.raises(UpstreamTimeout):
        await ask(caller)
    plans = catalog.snapshot().models
    assert plans["a"].deployments[0].timeouts.total > 30
    spare.script.append(answer("late but in time"))
    assert says(await ask(caller, model="b")) == "late but in time"
