"""The pages of providers and models, against the fakes: test, save, never show a secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from portal.models import Deployment, Model, ProviderAccount, VirtualKey
from tests.fakes.server import FakeServers

PART = {"HX-Request": "true"}
SECRET = "AIza-blue-0123456789abcdef"
MODEL = "gemini-3.5-flash"


@pytest.fixture(scope="module")
def fakes() -> Iterator[FakeServers]:
    with FakeServers() as servers:
        yield servers


@pytest.fixture
def form(fakes: FakeServers) -> dict[str, Any]:
    """The model form as filled in for a new account."""
    fakes.reset()
    return {
        "account": "",
        "account-name": "Blue at Google",
        "account-api_key": SECRET,
        "account-api_base": fakes.gemini_url,
        "account-api_version": "",
        "provider_model": MODEL,
        "model_name": "",
        "drop_params": "",
        "params": "",
    }


def sealed_outcome(text: str) -> str:
    return text.partition('name="tested" value="')[2].partition('"')[0]


@pytest.mark.django_db(transaction=True)
def test_a_test_runs_before_anything_is_saved_and_save_remembers_it(
    owner_browser: Client, form: dict[str, Any], fakes: FakeServers
):
    answer = owner_browser.post("/models/test/?provider=gemini", form, headers=PART).content.decode()
    assert answer.count("chip ok") == 3
    assert Deployment.objects.count() == ProviderAccount.objects.count() == 0
    assert [row["gone"] for row in fakes.gemini.files()] != [None], "the test left its file behind"
    owner_browser.post("/models/new/?provider=gemini", form | {"tested": sealed_outcome(answer)})
    deployment = Deployment.objects.get()
    assert deployment.model.name == deployment.provider_model == MODEL
    assert deployment.last_test["ok"] is True
    assert SECRET not in owner_browser.get(f"/models/{deployment.pk}/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_the_outcome_of_other_values_is_not_believed(owner_browser: Client, form: dict[str, Any]):
    answer = owner_browser.post("/models/test/?provider=gemini", form, headers=PART).content.decode()
    changed = form | {"tested": sealed_outcome(answer), "provider_model": "gemini-2.5-pro"}
    owner_browser.post("/models/new/?provider=gemini", changed)
    assert Deployment.objects.get().last_test == {}


@pytest.mark.django_db(transaction=True)
def test_a_failed_test_says_what_to_look_at(owner_browser: Client, form: dict[str, Any]):
    wrong = form | {"account-api_key": "not-a-key"}
    answer = owner_browser.post("/models/test/?provider=gemini", wrong, headers=PART).content.decode()
    assert answer.count("chip bad") == 3
    assert "refused the key" in answer
    assert "not-a-key" not in answer


@pytest.mark.django_db(transaction=True)
def test_the_providers_own_list_is_offered(owner_browser: Client, form: dict[str, Any]):
    answer = owner_browser.post("/models/choices/?provider=gemini", form, headers=PART).content.decode()
    assert f'<option value="{MODEL}">' in answer


def test_saving_makes_account_and_model_or_neither(owner_browser: Client, form: dict[str, Any]):
    taken = ProviderAccount.objects.create(name="Blue at Google", provider="openai")
    response = owner_browser.post("/models/new/?provider=gemini", form)
    assert response.status_code == 422
    assert "account of that name" in response.content.decode()
    assert list(ProviderAccount.objects.all()) == [taken]
    assert Model.objects.count() == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("params", "[1]"),
        ("params", "{"),
        ("params", '{"temperature": "hot"}'),
        ("input_price", "-1"),
        ("weight", "99999999999999999999"),
        ("provider_model", ""),
        ("provider_model", "\0"),
        ("account", "12345"),
        ("account-api_base", "ftp://x"),
        ("drop_params", "maybe"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_its_field(
    field: str, value: str, owner_browser: Client, form: dict[str, Any]
):
    response = owner_browser.post("/models/new/?provider=gemini", form | {field: value}, headers=PART)
    assert response.status_code == 422
    assert "errorlist" in response.content.decode() or "note bad" in response.content.decode()
    assert Deployment.objects.count() == 0


def test_editing_keeps_the_secret_and_never_shows_it(owner_browser: Client, gemini_account: ProviderAccount):
    before = gemini_account.written_secrets()
    page = owner_browser.get(f"/providers/{gemini_account.pk}/").content.decode()
    assert before["api_key"] not in page
    values = {
        "account": gemini_account.pk,
        "name": "Renamed",
        "api_key": "",
        "api_base": "",
        "api_version": "",
    }
    owner_browser.post(f"/providers/{gemini_account.pk}/", values)
    gemini_account.refresh_from_db()
    assert gemini_account.name == "Renamed"
    assert gemini_account.written_secrets() == before
    owner_browser.post(f"/providers/{gemini_account.pk}/", values | {"api_key": "os.environ/ANOTHER"})
    gemini_account.refresh_from_db()
    assert gemini_account.written_secrets() == {"api_key": "os.environ/ANOTHER"}


def test_of_two_tabs_the_second_learns_of_the_first(owner_browser: Client, gemini_account: ProviderAccount):
    page = owner_browser.get(f"/providers/{gemini_account.pk}/").content.decode()
    seen = page.partition('name="seen" value="')[2].partition('"')[0]
    values = {"account": gemini_account.pk, "seen": seen, "name": "First"}
    assert owner_browser.post(f"/providers/{gemini_account.pk}/", values).status_code == 303
    late = owner_browser.post(f"/providers/{gemini_account.pk}/", values | {"name": "Second"})
    assert late.status_code == 422
    assert "in the meantime" in late.content.decode()
    gemini_account.refresh_from_db()
    assert gemini_account.name == "First"


def test_an_account_in_use_stays_and_says_why(owner_browser: Client, gemini_deployment: Deployment):
    address = f"/providers/{gemini_deployment.account_id}/delete/"
    page = owner_browser.post(address, follow=True).content.decode()
    assert "still in use" in page
    assert ProviderAccount.objects.count() == 1


def test_deleting_the_last_deployment_deletes_the_model(owner_browser: Client, gemini_deployment: Deployment):
    owner_browser.post(f"/models/{gemini_deployment.pk}/delete/")
    assert Model.objects.count() == 0


@pytest.mark.parametrize(
    "path",
    [
        "/models/test/",
        "/models/choices/",
        "/providers/test/",
        "/models/{0}/delete/",
        "/providers/{1}/delete/",
    ],
)
def test_members_change_nothing_here(
    path: str, member_browser: Client, gemini_deployment: Deployment, key: VirtualKey
):
    address = path.format(gemini_deployment.pk, gemini_deployment.account_id)
    assert member_browser.post(address).status_code == 403
    assert Deployment.objects.count() == 1


def test_members_see_models_but_not_the_accounts_behind_them(
    member_browser: Client, gemini_deployment: Deployment
):
    page = member_browser.get("/models/").content.decode()
    assert "gemini-flash" in page
    assert "Add model" not in page
