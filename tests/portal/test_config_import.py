"""config.yaml: read with line numbers, imported, imported again, exported."""

from __future__ import annotations

import os
from collections.abc import Callable
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from files.models import ManagedFile, ProviderFileMapping
from portal.models import AuditEvent, Deployment, Model, ProviderAccount, Revision, Settings, Team
from portal.services import accounts, catalog, config, models
from portal.services.access import Caller, caller_for_token
from portal.services.audit import Actor
from portal.services.config import Diff

EVERYONE = Caller("master", "m", 1, "t", frozenset({1}), is_admin=True)
VARIABLES = (
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GEMINI_API_BASE",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_API_BASE",
    "OPENAI_ORGANIZATION",
    "VERTEXAI_PROJECT",
    "VERTEXAI_LOCATION",
    "VERTEXAI_CREDENTIALS",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GCS_BUCKET_NAME",
    "AZURE_API_KEY",
    "AZURE_API_BASE",
    "AZURE_API_VERSION",
)

# Seed 000, step "Setup config.yaml"; seed 003 has the same entry under other names.
SEED = """
model_list:
    - model_name: "gemini-2.0-flash"
      litellm_params:
        model: gemini/gemini-2.0-flash
        api_key: os.environ/GEMINI_API_KEY
"""
SEED_TTS = """
model_list:
  - model_name: gemini-tts-flash
    litellm_params:
      model: gemini/gemini-2.5-flash-preview-tts
      api_key: os.environ/GEMINI_API_KEY
  - model_name: gemini-tts-pro
    litellm_params:
      model: gemini/gemini-2.5-pro-preview-tts
      api_key: os.environ/GEMINI_API_KEY
"""
FULL = """
model_list:
  - model_name: chat
    litellm_params: &gemini
      model: gemini/gemini-2.5-flash
      api_key: os.environ/GEMINI_API_KEY
      rpm: 60
      weight: 3
      order: 2
      timeout: 30
      stream_timeout: 5.5
      max_retries: 1
      input_cost_per_token: 1e-7
      output_cost_per_token: 0.0000004
      drop_params: true
      temperature: 0.1
      extra_body: {labels: {a: b}}
    model_info:
      id: main-deployment
      mode: chat
      base_model: gemini/gemini-2.5-flash
      access_groups: [beta]
  - model_name: chat
    litellm_params:
      model: vertex_ai/gemini-2.5-flash
      vertex_project: my-project
      vertex_location: europe-west1
      vertex_credentials: os.environ/VERTEX_JSON
      gcs_bucket_name: my-bucket
  - model_name: chat
    litellm_params: {<<: *gemini, weight: 1}
  - model_name: embed
    litellm_params:
      model: azure/text-embedding-3
      api_key: os.environ/AZURE_KEY
      api_base: https://x.openai.azure.com
      api_version: 2024-10-21
    model_info: {mode: embedding}
files_settings:
  - custom_llm_provider: gemini
    api_key: os.environ/GEMINI_API_KEY
  - custom_llm_provider: openai
    api_key: os.environ/OPENAI_FILES_KEY
litellm_settings:
  num_retries: 3
  request_timeout: 600
  fallbacks: [{chat: [embed]}]
router_settings:
  model_group_alias: {gpt-4: chat}
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
environment_variables:
  REGION: os.environ/SOMEWHERE
"""


@pytest.fixture(autouse=True)
def _no_provider_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def load(actor: Actor, db: None) -> Callable[[str], Diff]:
    return lambda text: config.apply_import(config.loads(text), actor=actor)


def complaints(text: str) -> list[str]:
    with pytest.raises(config.ConfigError) as caught:
        config.loads(text)
    return caught.value.message.splitlines()


def test_the_seeds_config_serves_its_model(load: Callable[[str], Diff], monkeypatch: pytest.MonkeyPatch):
    diff = load(SEED)
    assert diff.lines == (
        f"+ account {_account().name}",
        f"+ gemini-2.0-flash: gemini-2.0-flash on {_account().name}",
    )
    assert diff.warnings == ()
    assert _account().written_secrets() == {"api_key": "os.environ/GEMINI_API_KEY"}
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-test")
    assert _account().connection().api_key == "AIza-test"


def test_entries_with_the_same_credentials_share_an_account(load: Callable[[str], Diff]):
    load(SEED_TTS)
    assert [model.name for model in Model.objects.all()] == ["gemini-tts-flash", "gemini-tts-pro"]
    assert ProviderAccount.objects.count() == 1


def test_a_full_file_comes_in_whole(load: Callable[[str], Diff]):
    diff = load(FULL)
    assert diff.warnings == ()
    first, vertex, merged = Deployment.objects.filter(model__name="chat").order_by("pk")
    assert first.deployment_id == "main-deployment"
    assert (first.rpm, first.weight, first.order, first.max_retries) == (60, 3, 2, 1)
    assert (first.timeout, first.stream_timeout, first.drop_params) == (30, 5.5, True)
    assert first.input_cost_per_token == Decimal("1e-7")
    assert first.params == {"temperature": 0.1, "extra_body": {"labels": {"a": "b"}}}
    assert first.info == {"base_model": "gemini/gemini-2.5-flash", "access_groups": ["beta"]}
    assert merged.weight == 1
    assert merged.account == first.account
    assert vertex.account.options == {
        "vertex_project": "my-project",
        "vertex_location": "europe-west1",
        "gcs_bucket_name": "my-bucket",
    }
    assert vertex.account.written_secrets() == {"vertex_credentials": "os.environ/VERTEX_JSON"}
    azure = Deployment.objects.get(model__name="embed")
    assert (azure.account.provider, azure.account.api_version) == ("azure", "2024-10-21")
    assert azure.model.mode == "embedding"
    origins = dict(ProviderAccount.objects.values_list("provider", "origin"))
    assert origins["openai"] == "files_settings"
    assert origins["gemini"] in ("config", "files_settings")
    row = Settings.current()
    assert row.litellm["num_retries"] == 3
    assert row.router == {"model_group_alias": {"gpt-4": "chat"}}
    assert row.general == {"master_key": "os.environ/LITELLM_MASTER_KEY"}


@pytest.mark.parametrize("text", [SEED, SEED_TTS, FULL])
def test_a_second_import_changes_nothing(load: Callable[[str], Diff], text: str):
    load(text)
    before = (Revision.latest(), AuditEvent.objects.count())
    assert load(text).lines == ()
    assert not load(text)
    assert (Revision.latest(), AuditEvent.objects.count()) == before


def test_an_account_of_both_sections_counts_as_files_settings_while_that_names_it(
    load: Callable[[str], Diff],
):
    files = "files_settings: [{custom_llm_provider: gemini, api_key: os.environ/GEMINI_API_KEY}]\n"
    load(SEED)
    assert _account().origin == "config"
    load(SEED + files)
    assert _account().origin == "files_settings"
    assert not load(SEED + files)
    load(SEED)
    assert _account().origin == "config"


@pytest.mark.parametrize("text", [SEED, SEED_TTS, FULL])
def test_an_export_imports_as_nothing_new(load: Callable[[str], Diff], text: str):
    load(text)
    exported = config.export()
    assert config.plan_import(config.loads(exported)).lines == ()
    again = config.loads(exported)
    assert not again.warnings


def test_an_export_builds_the_same_instance_elsewhere(load: Callable[[str], Diff]):
    load(FULL)
    exported = config.export()
    Deployment.objects.all().delete()
    Model.objects.all().delete()
    ProviderAccount.objects.all().delete()
    Settings.objects.all().delete()
    load(exported)
    assert config.export() == exported


def test_a_dry_run_says_the_same_and_does_nothing(load: Callable[[str], Diff]):
    planned = config.plan_import(config.loads(FULL))
    assert not Deployment.objects.exists()
    assert not ProviderAccount.objects.exists()
    assert Revision.latest() == 0
    assert planned.lines == load(FULL).lines


def test_changes_are_told_field_by_field(load: Callable[[str], Diff]):
    load(FULL)
    account = ProviderAccount.objects.get(provider="gemini").name
    changed = FULL.replace("rpm: 60", "rpm: 61", 1).replace("num_retries: 3", "num_retries: 4")
    assert load(changed).lines == (
        "~ litellm_settings.num_retries: 3 → 4",
        f"~ chat: gemini-2.5-flash on {account}: rpm 60 → 61",
        f"~ chat: gemini-2.5-flash on {account}: rpm 60 → 61",
    )


def test_what_vanished_from_the_file_goes_and_what_the_browser_made_stays(
    load: Callable[[str], Diff], actor: Actor
):
    load(FULL)
    mine = accounts.create_account(actor=actor, name="mine", provider="openai", secrets={"api_key": "k"})
    models.create_deployment(actor=actor, model_name="browser", account=mine, provider_model="p")
    diff = load(SEED)
    assert sum(line.startswith("- ") and " on " in line for line in diff.lines) == 4
    assert {model.name for model in Model.objects.all()} == {"browser", "gemini-2.0-flash"}
    assert set(ProviderAccount.objects.values_list("name", flat=True)) == {"mine", _account().name}


def test_deployments_keep_their_ids_when_their_entries_change(load: Callable[[str], Diff]):
    load(SEED)
    before = Deployment.objects.get().deployment_id
    load(SEED.replace("gemini/gemini-2.0-flash", "gemini/gemini-2.5-flash"))
    assert Deployment.objects.get().deployment_id == before
    assert Deployment.objects.get().provider_model == "gemini-2.5-flash"


def test_an_id_follows_its_entry_to_another_name(load: Callable[[str], Diff]):
    text = SEED + "      model_info: {id: fixed}\n"
    load(text)
    load(text.replace('model_name: "gemini-2.0-flash"', "model_name: renamed"))
    assert Deployment.objects.get().deployment_id == "fixed"
    assert Model.objects.get().name == "renamed"


def test_an_account_that_holds_copies_is_switched_off_instead_of_removed(
    load: Callable[[str], Diff], team: Team
):
    load(SEED)
    account = _account()
    file = ManagedFile.objects.create(
        team=team, filename="f", purpose="user_data", media_type="text/plain", size=1, sha256="0", blob="b"
    )
    ProviderFileMapping.objects.create(file=file, account=account)
    other = SEED.replace("os.environ/GEMINI_API_KEY", "os.environ/OTHER_KEY")
    assert any("switched off" in line for line in load(other).lines)
    assert not load(other)
    account.refresh_from_db()
    assert not account.is_active
    assert any("switched on" in line for line in load(SEED).lines)


def test_literal_secrets_are_sealed_and_never_exported(load: Callable[[str], Diff]):
    text = SEED.replace("os.environ/GEMINI_API_KEY", "AIza-literal-secret") + (
        "general_settings: {master_key: sk-master-0123456789}\nenvironment_variables: {TOKEN: t0ken-value}\n"
    )
    load(text)
    assert _account().connection().api_key == "AIza-literal-secret"
    assert not load(text)
    exported = config.export()
    rows = [table.objects.values_list() for table in (ProviderAccount, Settings, AuditEvent, Deployment)]
    for secret in ("AIza-literal-secret", "sk-master-0123456789", "t0ken-value"):
        assert secret not in exported
        assert secret not in repr([list(found) for found in rows])
    assert exported.count("REDACTED") == 3
    assert config.loads(exported)


def test_a_master_key_of_the_file_opens_and_closes_the_door(load: Callable[[str], Diff]):
    diff = load(SEED + "general_settings: {master_key: sk-1234}\n")
    assert "+ general_settings.master_key" in diff.lines
    assert "is short" in diff.warnings[0]
    assert caller_for_token("sk-1234").is_admin
    load(SEED)
    catalog.refresh()
    assert catalog.snapshot().master_digest is None


def test_environment_variables_are_exported_and_taken_back(
    load: Callable[[str], Diff], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GEMINI_API_KEY", "of the process")
    load(SEED + "environment_variables: {GEMINI_API_KEY: of the file, H5_NEW: 5}\n")
    catalog.refresh()
    assert (os.environ["GEMINI_API_KEY"], os.environ["H5_NEW"]) == ("of the file", "5")
    plan = catalog.find_model("gemini-2.0-flash", EVERYONE).deployments[:1]
    assert all(deployment.connection.api_key == "of the file" for deployment in plan)
    load(SEED)
    catalog.refresh()
    assert os.environ["GEMINI_API_KEY"] == "of the process"
    assert "H5_NEW" not in os.environ


@pytest.mark.parametrize(
    ("model", "extra", "variables", "provider", "provider_model"),
    [
        ("gemini/gemini-2.5-pro", "", {}, "gemini", "gemini-2.5-pro"),
        ("vertex_ai/gemini-2.5-pro", "", {}, "vertex_ai", "gemini-2.5-pro"),
        ("azure/my-deployment", "", {}, "azure", "my-deployment"),
        ("openai/gpt-5.4", "", {}, "openai", "gpt-5.4"),
        ("openai/meta/llama", "api_base: http://127.0.0.1:1/v1", {}, "openai", "meta/llama"),
        ("gpt-5.4", "", {}, "openai", "gpt-5.4"),
        ("gemini-2.5-pro", "", {}, "gemini", "gemini-2.5-pro"),
        ("gemini-2.5-pro", "", {"VERTEXAI_PROJECT": "p"}, "vertex_ai", "gemini-2.5-pro"),
        ("gemini-2.5-pro", "", {"VERTEXAI_PROJECT": "p", "GOOGLE_API_KEY": "k"}, "gemini", "gemini-2.5-pro"),
        ("gemini-2.5-pro", "vertex_project: p", {"GEMINI_API_KEY": "k"}, "vertex_ai", "gemini-2.5-pro"),
        ("gpt-x", "custom_llm_provider: azure", {}, "azure", "gpt-x"),
    ],
)
def test_prefixes_say_the_provider(
    model: str,
    extra: str,
    variables: dict[str, str],
    provider: str,
    provider_model: str,
    monkeypatch: pytest.MonkeyPatch,
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    text = f"model_list:\n- model_name: m\n  litellm_params:\n    model: {model}\n    {extra}\n"
    spec = config.loads(text).deployments[0]
    assert (spec.account.provider, spec.provider_model) == (provider, provider_model)


@pytest.mark.parametrize(
    ("params", "variables", "secrets"),
    [
        ("model: gemini/x", {}, {"api_key": "os.environ/GEMINI_API_KEY"}),
        ("model: gemini/x", {"GOOGLE_API_KEY": "k"}, {"api_key": "os.environ/GOOGLE_API_KEY"}),
        ("model: gpt", {}, {"api_key": "os.environ/OPENAI_API_KEY"}),
        ("model: openai/x\n    api_base: http://127.0.0.1:1", {"OPENAI_API_KEY": "k"}, {}),
        ("model: azure/x\n    api_base: https://a", {}, {"api_key": "os.environ/AZURE_API_KEY"}),
        ("model: vertex_ai/x", {}, {}),
        (
            "model: vertex_ai/x",
            {"GOOGLE_APPLICATION_CREDENTIALS": "/x"},
            {"vertex_credentials": "os.environ/GOOGLE_APPLICATION_CREDENTIALS"},
        ),
        ("model: vertex_ai/x\n    api_key: k", {"GOOGLE_APPLICATION_CREDENTIALS": "/x"}, {"api_key": "k"}),
        (
            "model: azure/x\n    api_base: https://a\n    tenant_id: t\n    client_secret: s",
            {},
            {"client_secret": "s"},
        ),
        (
            "model: azure/x\n    api_base: https://a",
            {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s"},
            {"client_secret": "os.environ/AZURE_CLIENT_SECRET"},
        ),
        (
            "model: azure/x\n    api_base: https://a\n    api_key: k",
            {"AZURE_CLIENT_SECRET": "s"},
            {"api_key": "k"},
        ),
        (
            "model: azure/x\n    api_base: https://a",
            {"AZURE_OPENAI_API_KEY": "k"},
            {"api_key": "os.environ/AZURE_OPENAI_API_KEY"},
        ),
    ],
)
def test_missing_credentials_come_from_the_usual_variables(
    params: str, variables: dict[str, str], secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    parsed = config.loads(f"model_list:\n- model_name: m\n  litellm_params:\n    {params}\n")
    assert dict(parsed.deployments[0].account.secrets) == secrets


def test_a_service_account_may_be_written_out(load: Callable[[str], Diff]):
    text = (
        "model_list:\n- model_name: m\n  litellm_params:\n    model: vertex_ai/x\n"
        "    vertex_credentials: {type: service_account, private_key: very-private}\n"
    )
    load(text)
    assert '"private_key": "very-private"' in _account().written_secrets()["vertex_credentials"]
    assert not load(text)
    assert "very-private" not in config.export()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "config.yaml is empty."),
        ("- a", "config.yaml line 1: the file must be a mapping that holds model_list."),
        ("model_list: 5", "config.yaml line 1: model_list must be a list"),
        ("a: 1\n\nmodel_list:\n- x", "config.yaml line 4: model_list[0] must be a mapping of keys to values"),
        (
            "model_list:\n- litellm_params: {model: x}",
            "config.yaml line 2: model_list[0].model_name is missing",
        ),
        (
            "model_list:\n- model_name: x",
            "config.yaml line 2: model_list[0].litellm_params is missing",
        ),
        (
            "model_list:\n- model_name: x\n  litellm_params:\n    api_key: k\n",
            "config.yaml line 3: model_list[0].litellm_params.model is missing",
        ),
        (
            "model_list:\n- model_name: x\n  litellm_params:\n    model: gemini/\n",
            "config.yaml line 4: model_list[0].litellm_params.model names no model after the provider",
        ),
        (
            "model_list:\n- model_name: x\n  litellm_params:\n    model: x\n    rpm: many\n",
            "config.yaml line 5: model_list[0].litellm_params.rpm must be a whole number from 1 to 21474",
        ),
        (
            "model_list:\n- model_name: x\n  litellm_params:\n    model: x\n    temperature: hot\n",
            "config.yaml line 5: model_list[0].litellm_params.temperature must be a number from 0 to 2",
        ),
        (
            "model_list:\n- model_name: x\n  litellm_params:\n    model: x\n    api_base: ftp://x\n",
            "config.yaml line 5: model_list[0].litellm_params.api_base must be an http or https address",
        ),
        (
            "model_list:\n- model_name: x\n  litellm_params:\n    model: x\n    api_key: 5\n",
            "config.yaml line 5: model_list[0].litellm_params.api_key must be text (put it in quotes)",
        ),
        (
            "model_list:\n- model_name: x\n  litellm_params: {model: x}\n  model_info: {mode: mind}\n",
            "config.yaml line 4: model_list[0].model_info.mode must be one of chat, completion, embedding",
        ),
        (
            "files_settings:\n- api_key: k\n",
            "config.yaml line 2: files_settings[0].custom_llm_provider is missing",
        ),
        (
            "litellm_settings:\n  num_retries: -1\n",
            "config.yaml line 2: litellm_settings.num_retries must be a whole number from 0 to 100",
        ),
        (
            "router_settings:\n  fallbacks: [x]\n",
            "config.yaml line 2: router_settings.fallbacks must be a list of {model: [models]}",
        ),
        (
            "general_settings:\n  master_key: ''\n",
            "config.yaml line 2: general_settings.master_key is empty; take the line out",
        ),
        ("a:\n  b: 1\n  b: 2\n", "config.yaml line 3: a.b stands twice"),
        ("model_list: [", "config.yaml line 1: expected the node content, but found '<stream end>'."),
        ("a: !!python/name:os.system x", "config.yaml line 1: could not determine a constructor"),
        ("x: &x [*x]", "config.yaml line 1: the aliases grow without end."),
        ("x: !!binary aGk=", "config.yaml line 1: x must be text, a number, true or false"),
        ("x: .nan", "config.yaml line 1: x must be text, a number, true or false"),
        ('x: "\\0"', "config.yaml line 1: x must be text, a number, true or false"),
        ("environment_variables:\n  A=B: x\n", "is not the name of an environment variable"),
    ],
)
def test_wrong_files_name_the_line(text: str, expected: str):
    found = complaints(text)
    assert any(expected in complaint for complaint in found), found


def test_all_complaints_come_at_once():
    entries = "- model_name: a\n- litellm_params: {model: x, rpm: -1}\n"
    text = f"model_list:\n{entries}litellm_settings: {{num_retries: x}}\n"
    assert len(complaints(text)) == 3


def test_a_small_file_of_many_aliases_is_refused():
    levels = "\n".join(
        f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" if n else "l0: &l0 [x]" for n in range(9)
    )
    assert "grow without end" in complaints(levels)[0]


def test_litellms_word_for_keeping_requests_is_kept_under_ours():
    text = "general_settings:\n  store_prompts_in_spend_logs: true\n  bodies_retention_days: 7\n"
    kept = config.loads(text).settings["general_settings"]
    assert kept == {"store_bodies": True, "bodies_retention_days": 7}


def test_a_deeply_nested_file_is_refused():
    assert complaints("[" * 2000)


def test_two_entries_cannot_share_an_id():
    entry = "- model_name: m\n  litellm_params: {model: x}\n  model_info: {id: same}\n"
    assert (
        "line 7: model_list[1].model_info has the id 'same'" in complaints(f"model_list:\n{entry}{entry}")[0]
    )


def test_lost_indentation_is_recognised():
    text = "model_list:\n- model_name: m\nlitellm_params:\n  model: gemini/x\n"
    assert any("line 3: litellm_params stands at the top level; indent it" in one for one in complaints(text))


def test_what_is_not_supported_is_named_with_its_line():
    text = (
        "guardrails: []\n"
        "model_list:\n"
        "- model_name: m\n"
        "  litellm_params: {model: gemini/x, aws_region_name: here}\n"
        "  model_info: {team_id: t}\n"
        "  extra: 1\n"
        "- model_name: n\n"
        "  litellm_params: {model: bedrock/x}\n"
        "litellm_settings: {callbacks: [x]}\n"
        "general_settings: {database_url: postgres://u:secret@h/d}\n"
        "environment_variables: {PORTICO_SECRET_KEY: no}\n"
    )
    parsed = config.loads(text)
    assert [spec.model_name for spec in parsed.deployments] == ["m"]
    expected = [
        "line 1: guardrails is not supported",
        "line 4: model_list[0].litellm_params.aws_region_name is not supported",
        "line 5: model_list[0].model_info.team_id is not supported",
        "line 6: model_list[0].extra is not supported",
        "line 8: model_list[1].litellm_params.model begins with bedrock/, which is not supported",
        "line 9: litellm_settings.callbacks is not supported",
        "line 10: general_settings.database_url is not supported and was left out; set the",
        "line 11: environment_variables.PORTICO_SECRET_KEY is read before config files are",
    ]
    for remark in expected:
        assert any(remark in warning for warning in parsed.warnings), remark
    assert len(parsed.warnings) == len(expected)
    assert "secret" not in "".join(parsed.warnings)


def test_what_only_the_services_refuse_still_names_the_entry(load: Callable[[str], Diff]):
    text = f"model_list:\n\n- model_name: {'x' * 300}\n  litellm_params: {{model: gpt}}\n"
    with pytest.raises(
        config.ConfigError, match=r"line 3: model_list\[0\]: `model_name` must have at most 200"
    ):
        load(text)
    assert not ProviderAccount.objects.exists()


def test_files_are_read_from_disk(tmp_path: Path):
    path = tmp_path / "my.yaml"
    with pytest.raises(config.ConfigError, match=r"my\.yaml cannot be read: No such file"):
        config.load(str(path))
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(config.ConfigError, match=r"my\.yaml line 2: the file is not UTF-8"):
        config.load(str(path))
    path.write_text("\ufeff" + SEED, encoding="utf-8")
    assert config.load(str(path)).deployments[0].model_name == "gemini-2.0-flash"


def test_the_commands_import_and_export(db: None, tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text(SEED + "guardrails: []\n")
    out, err = StringIO(), StringIO()
    call_command("import_config", str(path), dry_run=True, stdout=out, stderr=err)
    assert "+ gemini-2.0-flash" in out.getvalue()
    assert "line 7: guardrails is not supported" in err.getvalue()
    assert not Model.objects.exists()
    call_command("import_config", str(path), stdout=StringIO(), stderr=StringIO())
    again = StringIO()
    call_command("import_config", str(path), stdout=again, stderr=StringIO())
    assert again.getvalue() == "nothing to change\n"
    exported = StringIO()
    call_command("export_config", stdout=exported)
    assert "os.environ/GEMINI_API_KEY" in exported.getvalue()
    path.write_text("model_list: 5")
    with pytest.raises(CommandError, match="line 1: model_list must be a list"):
        call_command("import_config", str(path))


def _account() -> Any:
    return ProviderAccount.objects.exclude(name="mine").get(is_active=True)
