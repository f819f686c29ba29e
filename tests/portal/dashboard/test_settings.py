"""The settings page: what can be changed and by whom, what the environment decides; secrets stay inside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client

from portal.models import AuditEvent, Settings, User
from portal.services import catalog, config, settings
from portal.services.audit import Actor
from providers.errors import InvalidRequest
from tests.portal.dashboard.conftest import signed_in, text_of
from tests.receivers import WebServer, running


@pytest.fixture
def auditor_browser(db: None) -> Client:
    return signed_in(User.objects.create_user("look@example.com", role="auditor"))


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    with running(server):
        yield server


def known(name: str) -> object:
    return settings.read()[name]


def test_a_section_is_saved_alone_and_holds_everywhere_at_once(owner_browser: Client):
    before = catalog.refresh().revision
    answer = owner_browser.post("/settings/instance/", {"instance_name": "Blue Gateway"})
    assert (answer.status_code, answer["Location"]) == (303, "/settings/")
    assert catalog.refresh().revision > before
    assert "<title>Settings · Blue Gateway</title>" in text_of(owner_browser, "/settings/")
    assert "Blue Gateway" in Client().get("/login/").content.decode()
    event = AuditEvent.objects.latest("pk")
    assert (event.action, event.after) == (
        "settings.changed",
        {"general_settings.instance_name": "Blue Gateway"},
    )


def test_blank_goes_back_to_the_default_and_the_same_again_changes_nothing(owner_browser: Client):
    form = {"routing_strategy": "least-busy", "num_retries": "4", "allowed_fails": "0"}
    owner_browser.post("/settings/routing/", form)
    row = Settings.current()
    assert row.router == {"routing_strategy": "least-busy", "allowed_fails": 0, "num_retries": 4}
    events = AuditEvent.objects.count()
    owner_browser.post("/settings/routing/", form)
    assert AuditEvent.objects.count() == events
    assert text_of(owner_browser, "/settings/").count(">changed<") == 3
    owner_browser.post("/settings/routing/", {"routing_strategy": "simple-shuffle"})
    assert Settings.current().router == {}
    assert ">changed<" not in text_of(owner_browser, "/settings/")


@pytest.mark.parametrize(
    ("section", "form", "field"),
    [
        ("routing", {"num_retries": "1000"}, "num_retries"),
        ("routing", {"num_retries": "many"}, "num_retries"),
        ("routing", {"routing_strategy": "magic"}, "routing_strategy"),
        ("requests", {"bodies_retention_days": "0"}, "bodies_retention_days"),
        ("requests", {"maximum_spend_logs_retention_period": "soon"}, "maximum_spend_logs_retention_period"),
        ("alerts", {"alert_emails": "nobody"}, "alert_emails"),
        ("alerts", {"alerting": "pigeon"}, "alerting"),
        ("alerts", {"webhook_url": "ftp://example.com"}, "webhook_url"),
        ("alerts", {"webhook_url": "https://me:pass@example.com"}, "webhook_url"),
        ("alerts", {"slack_webhook_url": "https://exa mple.com"}, "slack_webhook_url"),
        ("email", {"smtp_port": "70000"}, "smtp_port"),
        ("email", {"smtp_sender_email": "x"}, "smtp_sender_email"),
        ("instance", {"instance_name": "x" * 201}, "instance_name"),
    ],
)
def test_what_does_not_fit_is_said_beside_its_field(
    section: str, form: dict[str, str], field: str, owner_browser: Client
):
    answer = owner_browser.post(f"/settings/{section}/", form)
    assert answer.status_code == 422
    text = answer.content.decode()
    start = text.index(f'id="setting_{field}_errors"')
    assert "errorlist" in text[start : start + 120]
    part = owner_browser.post(f"/settings/{section}/", form, headers={"HX-Request": "true"})
    assert part.status_code == 422
    assert "<html" not in part.content.decode()
    assert Settings.current().general == {}


def test_secrets_are_sealed_never_shown_and_stay_when_left_blank(owner_browser: Client):
    form = {"slack_webhook_url": "https://hooks.slack.example/T0SECRET", "webhook_secret": "whsec_c2VjcmV0"}
    owner_browser.post("/settings/alerts/", form)
    row = Settings.current()
    assert "T0SECRET" not in f"{row.sealed_secrets}{row.general}"
    assert known("secrets.slack_webhook_url") == form["slack_webhook_url"]
    text = text_of(owner_browser, "/settings/")
    assert "T0SECRET" not in text
    assert "c2VjcmV0" not in text
    assert "T0SECRET" not in f"{AuditEvent.objects.latest('pk').after}"
    owner_browser.post("/settings/alerts/", {"alerting": ["slack"]})
    assert known("secrets.slack_webhook_url") == form["slack_webhook_url"]
    owner_browser.post("/settings/alerts/", {"alerting": ["slack"], "remove-slack_webhook_url": "1"})
    assert known("secrets.slack_webhook_url") == ""
    assert known("secrets.webhook_secret") == "whsec_c2VjcmV0"


def test_what_the_environment_says_is_shown_with_its_variable_and_cannot_be_changed(
    owner_browser: Client, actor: Actor, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SMTP_HOST", "smtp.env.example")
    monkeypatch.setenv("SMTP_PASSWORD", "env-password-0123")
    text = text_of(owner_browser, "/settings/")
    assert 'value="smtp.env.example"' in text
    assert "<code>SMTP_HOST</code>" in text
    assert "env-password-0123" not in text
    owner_browser.post("/settings/email/", {"smtp_host": "other.example", "smtp_tls": "on"})
    assert known("general_settings.smtp_host") == "smtp.env.example"
    assert Settings.current().general == {}
    with pytest.raises(InvalidRequest, match="SMTP_HOST"):
        settings.change(actor=actor, values={"general_settings.smtp_host": "x"})


def test_a_variable_that_cannot_be_used_is_said_so(owner_browser: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SMTP_PORT", "mail")
    monkeypatch.setenv("SMTP_TLS", "perhaps")
    assert text_of(owner_browser, "/settings/").count("cannot be used") == 2
    assert (known("general_settings.smtp_port"), known("general_settings.smtp_tls")) == (587, True)


def test_auditors_read_and_members_do_not_even(
    auditor_browser: Client, member_browser: Client, owner_browser: Client
):
    text = text_of(auditor_browser, "/settings/")
    assert "Save" not in text
    for place in ("/settings/instance/", "/settings/alerts/test/", "/settings/alerts/secret/"):
        assert auditor_browser.post(place, {"instance_name": "x", "channel": "slack"}).status_code == 403
        assert member_browser.post(place, {"instance_name": "x"}).status_code == 403
    assert member_browser.get("/settings/").status_code == 403
    assert owner_browser.post("/settings/nothing/").status_code == 404
    assert Settings.current().general == {}


def test_the_page_takes_few_queries(owner_browser: Client, django_assert_max_num_queries: object):
    text_of(owner_browser, "/settings/")
    with django_assert_max_num_queries(12):  # type: ignore[operator]  # a fixture's function
        text_of(owner_browser, "/settings/")


def test_a_test_alert_says_what_became_of_it(owner_browser: Client, web: WebServer):
    owner_browser.post("/settings/alerts/", {"webhook_url": f"{web.url}/hook"})
    answer = owner_browser.post("/settings/alerts/test/", {"channel": "webhook"}, follow=True)
    assert "Webhook: the test alert was sent." in answer.content.decode()
    assert len(web.received) == 1
    assert "webhook-signature" not in web.received[0].headers
    web.answers = [500]
    answer = owner_browser.post("/settings/alerts/test/", {"channel": "webhook"}, follow=True)
    assert "Webhook: The receiver answered 500." in answer.content.decode()


def test_a_webhook_secret_is_made_and_shown_once(owner_browser: Client):
    answer = owner_browser.post("/settings/alerts/secret/")
    secret = str(known("secrets.webhook_secret"))
    assert secret.startswith("whsec_")
    assert secret in answer.content.decode()
    assert answer["Cache-Control"] == "no-store"
    assert secret not in text_of(owner_browser, "/settings/")


def test_an_import_leaves_alone_what_was_set_here_and_the_file_does_not_name(
    owner_browser: Client, actor: Actor
):
    owner_browser.post("/settings/instance/", {"instance_name": "Blue"})
    owner_browser.post("/settings/routing/", {"num_retries": "5"})
    parsed = config.loads("router_settings:\n  num_retries: 4\ngeneral_settings:\n  alerting: [slack]\n")
    config.apply_import(parsed, actor=actor)
    row = Settings.current()
    assert row.general == {"instance_name": "Blue", "alerting": ["slack"]}
    assert row.router == {"num_retries": 4}
    assert not config.plan_import(parsed)
    config.apply_import(config.loads("litellm_settings:\n  drop_params: true\n"), actor=actor)
    assert Settings.current().general == {"instance_name": "Blue"}
    assert (Settings.current().litellm, Settings.current().router) == ({"drop_params": True}, {})


def test_what_another_setting_lends_is_shown_and_not_written_down_again(owner_browser: Client, actor: Actor):
    config.apply_import(config.loads("litellm_settings:\n  num_retries: 7\n"), actor=actor)
    text = text_of(owner_browser, "/settings/")
    assert "litellm_settings.num_retries" in text
    assert 'value="7"' in text
    owner_browser.post("/settings/routing/", {"routing_strategy": "simple-shuffle", "num_retries": "7"})
    assert Settings.current().router == {}
    owner_browser.post("/settings/routing/", {"routing_strategy": "simple-shuffle", "num_retries": "8"})
    assert Settings.current().router == {"num_retries": 8}


def test_an_export_can_be_imported_again(owner_browser: Client, actor: Actor):
    owner_browser.post("/settings/alerts/", {"alerting": ["email"], "alert_types": ["budget_alerts"]})
    owner_browser.post("/settings/requests/", {"maximum_spend_logs_retention_period": "30d"})
    parsed = config.loads(config.export())
    assert parsed.warnings == ()
    assert not config.plan_import(parsed)


def test_alert_settings_of_litellm_are_taken_over_and_the_rest_is_named(db: None):
    parsed = config.loads(
        "general_settings:\n"
        "  alerting: [slack, webhook]\n"
        "  alerting_threshold: 120\n"
        "  alert_types: [llm_exceptions, budget_alerts, daily_reports]\n"
        "  alert_to_webhook_url:\n"
        "    budget_alerts: os.environ/BUDGETS\n"
        "    llm_too_slow: https://hooks.slack.example/T0SECRET\n"
    )
    assert parsed.settings["general_settings"] == {
        "alerting": ["slack", "webhook"],
        "alerting_threshold": 120,
        "alert_types": ["outage_alerts", "budget_alerts"],
        "alert_to_webhook_url": {"budget_alerts": ["os.environ/BUDGETS"]},
    }
    assert len(parsed.warnings) == 2
    assert "daily_reports" in parsed.warnings[0]
    assert "T0SECRET" not in "".join(parsed.warnings)


def test_secrets_that_cannot_be_opened_leave_the_page_working(owner_browser: Client, actor: Actor):
    settings.change(actor=actor, values={"secrets.webhook_url": "https://example.com"})
    Settings.objects.update(sealed_secrets="v1:lost:AAAA")
    assert "Cannot be read" in text_of(owner_browser, "/settings/")
    answer = owner_browser.post("/settings/alerts/", {"webhook_url": "https://example.org"})
    assert answer.status_code == 422
