"""`credential_list` of config.yaml, and entries that point to it."""

from __future__ import annotations

import pytest

from portal.models import Deployment, ProviderAccount
from portal.services import config
from portal.services.audit import Actor

TEXT = """
model_list:
  - model_name: one
    litellm_params: {model: openai/gpt-5.4, litellm_credential_name: europe}
  - model_name: two
    litellm_params: {model: openai/gpt-5.4-mini, litellm_credential_name: europe, rpm: 5}
  - model_name: three
    litellm_params:
      model: openai/gpt-5.4
      litellm_credential_name: europe
      api_base: http://127.0.0.1:10/v1
credential_list:
  - credential_name: europe
    credential_values: {api_key: sk-europe-0123456789abcdef, api_base: "http://127.0.0.1:9/v1"}
    credential_info: {description: Production}
files_settings:
  - {custom_llm_provider: openai, litellm_credential_name: europe}
"""


@pytest.fixture
def imported(db: None, actor: Actor) -> config.Diff:
    return config.apply_import(config.loads(TEXT), actor=actor)


def test_entries_share_the_account_of_their_credential(imported: config.Diff, actor: Actor):
    assert imported.warnings == ()
    rows = {row.model.name: row for row in Deployment.objects.select_related("account", "model")}
    assert rows["one"].account == rows["two"].account
    account = rows["one"].account
    assert (account.name, account.api_base) == ("europe", "http://127.0.0.1:9/v1")
    assert account.connection().api_key == "sk-europe-0123456789abcdef"
    assert account.origin == "files_settings"
    other = rows["three"].account
    assert other.api_base == "http://127.0.0.1:10/v1"
    assert other.connection().api_key == "sk-europe-0123456789abcdef"
    assert other.name == "OpenAI (127.0.0.1:10)"
    assert ProviderAccount.objects.count() == 2
    assert not config.apply_import(config.loads(TEXT), actor=actor)


def test_a_credential_that_is_not_in_the_file_is_named(db: None):
    parsed = config.loads(TEXT.replace("  - credential_name: europe", "  - credential_name: asia"))
    told = [each for each in parsed.warnings if "names 'europe', which is not in credential_list" in each]
    assert len(told) == 4
    assert "line 4" in told[0]


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ("credential_list: 7", "credential_list must be a list"),
        ("credential_list: [7]", "credential_list[0] must be a mapping"),
        ("credential_list: [{credential_values: {api_key: x}}]", "credential_name is missing"),
        ("credential_list: [{credential_name: x}]", "credential_values is missing"),
        (
            "credential_list: [{credential_name: x, credential_values: 7}]",
            "credential_values must be a mapping",
        ),
        (
            "credential_list: [&one {credential_name: x, credential_values: {api_key: a}}, *one]",
            "which another credential is called already",
        ),
    ],
)
def test_what_is_wrong_in_the_list_is_said_with_its_line(section: str, complaint: str):
    with pytest.raises(config.ConfigError) as refused:
        config.loads(f"model_list: []\n{section}\n")
    assert complaint in refused.value.message
    assert "line 2" in refused.value.message
