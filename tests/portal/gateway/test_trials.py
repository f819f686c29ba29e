"""The Test of a deployment walks the path of real calls and tells an operator what to look at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from portal.gateway.trials import Trial, try_deployment
from portal.services.plans import DeploymentPlan
from providers import registry
from providers.types import Connection
from tests.fakes.server import FakeServers
from tests.portal.gateway.routing.plans import PLAN
from tests.portal.gateway.stub import Stub, hang, status

KINDS: tuple[Trial, ...] = ("chat", "stream", "file")


@pytest.fixture(scope="module")
def servers() -> Iterator[FakeServers]:
    with FakeServers() as running:
        yield running


@pytest.fixture
def fakes(servers: FakeServers) -> FakeServers:
    servers.gemini.reset()
    servers.openai.reset()
    return servers


def plan_for(fakes: FakeServers, provider: str, key: str = "") -> DeploymentPlan:
    bases = {"gemini": fakes.gemini_url, "openai": fakes.openai_url}
    keys = {"gemini": "AIza-blue-1", "openai": "sk-fake-blue-1"}
    models = {"gemini": "gemini-2.5-flash", "openai": "gpt-4.1-mini"}
    return replace(
        PLAN,
        provider=registry.PROVIDERS[provider],
        connection=Connection(provider, api_key=key or keys[provider], api_base=bases[provider]),
        provider_model=models[provider],
    )


@pytest.mark.parametrize("provider", ["gemini", "openai"])
async def test_a_good_deployment_passes_all_trials_at_once_and_keeps_no_file(
    provider: str, fakes: FakeServers
):
    plan = plan_for(fakes, provider)
    results = await asyncio.gather(*(try_deployment(plan, kind) for kind in KINDS))
    assert [result.error for result in results] == ["", "", ""]
    assert all(result.ok and result.text for result in results)
    assert "application/pdf" in results[2].text
    control = fakes.gemini if provider == "gemini" else fakes.openai
    assert control.files()
    assert all(file["gone"] for file in control.files())


@pytest.mark.parametrize("provider", ["gemini", "openai"])
async def test_a_wrong_key_is_named_as_such_and_never_shown(provider: str, fakes: FakeServers):
    plan = plan_for(fakes, provider, key="wrong-key-0123456789")
    for kind in KINDS:
        result = await try_deployment(plan, kind)
        assert not result.ok
        assert result.hint == "The provider refused the key."
        assert "wrong-key-0123456789" not in repr(result)


async def test_an_unknown_model_is_named_as_such(fakes: FakeServers):
    result = await try_deployment(replace(plan_for(fakes, "gemini"), provider_model="gemini-0"), "chat")
    assert (result.ok, "does not know this model" in result.hint) == (False, True)


async def test_an_address_that_nobody_answers_is_named_as_such(fakes: FakeServers):
    plan = replace(
        plan_for(fakes, "openai"), connection=Connection("openai", api_key="k", api_base="http://127.0.0.1:9")
    )
    result = await try_deployment(plan, "stream")
    assert result.hint.startswith("The address could not be reached")
    assert "127.0.0.1" not in result.error


async def test_something_that_is_no_provider_is_named_as_such():
    async with Stub() as stub:
        stub.script.append(status(200, "<html>"))
        plan = replace(PLAN, connection=Connection("openai", api_key="k", api_base=stub.url))
        result = await try_deployment(plan, "chat")
    assert result.hint.startswith("Something answered that is not this kind of provider")


async def test_a_trial_that_is_abandoned_leaves_no_connection():
    async with Stub() as stub:
        stub.script.append(hang())
        plan = replace(PLAN, connection=Connection("openai", api_key="k", api_base=stub.url))
        task = asyncio.get_running_loop().create_task(try_deployment(plan, "chat"))
        while not stub.calls:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(stub.left.wait(), 2)
