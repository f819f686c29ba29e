"""Whom a call asks: prefix, keyword, extra_body, extra_headers, keys in the environment, owners of files."""

from __future__ import annotations

import pytest

from providers.client.accounts import Selection, connection_to, target_of_file, target_of_model
from providers.client.known_files import Owned, known_files
from providers.errors import InvalidRequest, PorticoError, Unauthenticated
from providers.types import Connection, RemoteFile

PROJECT = {"VERTEXAI_PROJECT": "my-project"}
KEY = {"GEMINI_API_KEY": "AIza-env"}
OPENAI = {"OPENAI_API_KEY": "sk-env"}


def owned(provider: str, name: str = "files/abc", key: str = "of-the-owner") -> Owned:
    remote = RemoteFile(name, name, "audio/wav", 1, "active")
    return Owned(provider, Connection(provider, api_key=key), remote)


def chosen(model: str, environment, variables, owners=(), **arguments) -> tuple[str, str]:
    for name, value in variables.items():
        environment.setenv(name, value)
    target = target_of_model(model, Selection.take(arguments), list(owners))
    return target.provider.name, target.model


@pytest.mark.parametrize(
    ("model", "variables", "arguments", "expected"),
    [
        ("gemini/gemini-2.0-flash", KEY, {}, ("gemini", "gemini-2.0-flash")),
        ("vertex_ai/gemini-2.0-flash", PROJECT, {}, ("vertex_ai", "gemini-2.0-flash")),
        ("openai/gpt-4o", OPENAI, {}, ("openai", "gpt-4o")),
        ("azure/mine", {"AZURE_API_KEY": "k", "AZURE_API_BASE": "https://a"}, {}, ("azure", "mine")),
        ("gpt-4o-mini", OPENAI | KEY, {}, ("openai", "gpt-4o-mini")),
        ("gemini-2.0-flash", KEY | PROJECT, {}, ("gemini", "gemini-2.0-flash")),
        ("gemini-2.0-flash", {"GOOGLE_API_KEY": "k"}, {}, ("gemini", "gemini-2.0-flash")),
        ("gemini-2.0-flash", PROJECT, {}, ("vertex_ai", "gemini-2.0-flash")),
        ("gemini-2.0-flash", KEY, {"vertex_project": "p"}, ("vertex_ai", "gemini-2.0-flash")),
        ("gemini-2.0-flash", PROJECT, {"api_key": "k"}, ("gemini", "gemini-2.0-flash")),
        (
            "gemini-2.0-flash",
            KEY,
            {"custom_llm_provider": "openai", "api_key": "k"},
            ("openai", "gemini-2.0-flash"),
        ),
        ("my-model", KEY, {"extra_body": {"custom_llm_provider": "gemini"}}, ("gemini", "my-model")),
        ("my-model", KEY, {"extra_headers": {"Custom-LLM-Provider": "gemini"}}, ("gemini", "my-model")),
        ("gemini/x", KEY, {"custom_llm_provider": "gemini"}, ("gemini", "x")),
        ("meta/llama", {}, {"api_base": "http://127.0.0.1:1"}, ("openai", "meta/llama")),
    ],
)
def test_a_call_goes_where_its_words_point(environment, model, variables, arguments, expected):
    assert chosen(model, environment, variables, **arguments) == expected


def test_a_bare_gemini_goes_where_its_file_is(environment):
    variables = KEY | PROJECT
    assert chosen("gemini-2.0-flash", environment, variables, [owned("vertex_ai")])[0] == "vertex_ai"
    assert chosen("gemini-2.0-flash", environment, variables, [owned("gemini")])[0] == "gemini"


def test_the_owners_account_reads_its_file(environment):
    environment.setenv("GEMINI_API_KEY", "another")
    target = target_of_model("gemini-2.0-flash", Selection.take({}), [owned("gemini")])
    assert target.connection.api_key == "of-the-owner"
    given = target_of_model("gemini-2.0-flash", Selection.take({"api_key": "given"}), [owned("gemini")])
    assert given.connection.api_key == "given"


def test_an_unknown_prefix_is_not_sent_to_openai(environment):
    environment.setenv("OPENAI_API_KEY", "sk-env")
    with pytest.raises(InvalidRequest, match="no known prefix"):
        target_of_model("anthropic/claude", Selection.take({}), [])


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gemini/x", "GEMINI_API_KEY or GOOGLE_API_KEY"),
        ("gpt-4o", "OPENAI_API_KEY"),
        ("azure/x", "AZURE_API_BASE"),
    ],
)
def test_what_is_missing_is_named(environment, model, name):
    with pytest.raises(PorticoError, match=name) as failure:
        target_of_model(model, Selection.take({}), [])
    assert isinstance(failure.value, Unauthenticated | InvalidRequest)


def test_two_that_contradict_each_other_are_both_named(environment):
    with pytest.raises(InvalidRequest) as failure:
        Selection.take({"custom_llm_provider": "openai", "extra_body": {"custom_llm_provider": "gemini"}})
    assert "custom_llm_provider='openai'" in failure.value.message
    assert "extra_body (custom_llm_provider)='gemini'" in failure.value.message


def test_two_that_agree_are_fine(environment):
    taken = Selection.take({"custom_llm_provider": "gemini", "extra_body": {"custom_llm_provider": "gemini"}})
    assert taken.provider == "gemini"


def test_an_unknown_provider_is_refused(environment):
    with pytest.raises(InvalidRequest, match="no such provider"):
        Selection.take({"custom_llm_provider": "nobody"})


def test_arguments_come_before_the_environment(environment, tmp_path):
    environment.setenv("GEMINI_API_KEY", "from-environment")
    environment.setenv("GEMINI_API_BASE", "http://127.0.0.1:1")
    assert connection_to("gemini", {"api_key": "given"}).api_key == "given"
    assert connection_to("gemini", {}).api_base == "http://127.0.0.1:1"
    environment.delenv("GEMINI_API_KEY")
    secret = tmp_path / "key"
    secret.write_text("from-file\n")
    environment.setenv("GEMINI_API_KEY_FILE", str(secret))
    assert connection_to("gemini", {}).api_key == "from-file"


def test_a_reference_means_the_variable(environment):
    environment.setenv("MY_KEY", "behind-it")
    taken = Selection.take({"api_key": "os.environ/MY_KEY"})
    assert taken.account == {"api_key": "behind-it"}
    with pytest.raises(InvalidRequest, match="NO_SUCH_KEY is not set"):
        Selection.take({"api_key": "os.environ/NO_SUCH_KEY"})


def test_openais_key_does_not_go_to_another_server_unasked(environment):
    environment.setenv("OPENAI_API_KEY", "sk-env")
    assert connection_to("openai", {"api_base": "http://127.0.0.1:1"}).api_key is None
    assert connection_to("openai", {}).api_key == "sk-env"


def test_fields_go_where_the_provider_looks_for_them(environment):
    given = {
        "vertex_ai_project": "p",
        "vertex_location": "global",
        "vertex_credentials": "{}",
        "bucket_name": "b",
    }
    connection = connection_to("vertex_ai", Selection.take(given).account)
    assert connection.options == {"vertex_project": "p", "vertex_location": "global", "gcs_bucket_name": "b"}
    assert connection.secrets == {"vertex_credentials": "{}"}
    assert "{}" not in repr(connection)


@pytest.mark.parametrize(
    ("file_id", "expected"),
    [
        ("files/abc", "gemini"),
        ("https://generativelanguage.googleapis.com/v1beta/files/abc", "gemini"),
        ("gs://bucket/object", "vertex_ai"),
        ("file-abc123", "openai"),
    ],
)
def test_a_files_id_tells_its_provider(environment, file_id, expected):
    for name, value in (KEY | PROJECT | OPENAI).items():
        environment.setenv(name, value)
    assert target_of_file(file_id, None, Selection.take({})).provider.name == expected


def test_a_file_that_was_seen_is_asked_for_at_its_account(environment):
    environment.setenv("OPENAI_API_KEY", "sk-env")
    known_files.remember(owned("azure", "file-seen"))
    target = target_of_file("file-seen", None, Selection.take({}))
    assert (target.provider.name, target.connection.api_key) == ("azure", "of-the-owner")
    named = target_of_file("file-seen", None, Selection.take({"custom_llm_provider": "openai"}))
    assert (named.provider.name, named.connection.api_key) == ("openai", "sk-env")


def test_the_only_configured_provider_takes_files(environment):
    environment.setenv("GEMINI_API_KEY", "k")
    assert target_of_file(None, None, Selection.take({})).provider.name == "gemini"
    assert target_of_file(None, "gemini/x", Selection.take({})).provider.name == "gemini"
    environment.setenv("OPENAI_API_KEY", "k")
    assert target_of_file(None, None, Selection.take({})).provider.name == "openai"
