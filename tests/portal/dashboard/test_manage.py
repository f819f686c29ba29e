"""Teams, people, audit, jobs, settings, saved views, the palette: who may, and what it does."""

from __future__ import annotations

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from files.models import ManagedFile, ProviderFileMapping
from portal.models import (
    AuditEvent,
    Invitation,
    Membership,
    ProviderAccount,
    SavedView,
    Settings,
    Team,
    User,
    VirtualKey,
)
from portal.services import budgets, keys, teams
from portal.services.audit import Actor
from tests.portal.dashboard.conftest import make_file, signed_in, text_of

CONFIG = "litellm_settings:\n  num_retries: 4\n"


@pytest.fixture
def team_admin(team: Team, actor: Actor) -> Client:
    person = User.objects.create_user("lead@example.com", "correct horse battery")
    teams.set_member(actor=actor, team=team, user=person, role=Membership.Role.ADMIN)
    return signed_in(person)


def test_a_team_is_made_with_models_budget_and_limits(owner_browser: Client):
    form = {
        "name": "Violet",
        "allowed_models": "gpt\n gemini-* \n",
        "max_budget": "12.5",
        "budget_duration": "30d",
    }
    owner_browser.post("/teams/new/", form | {"rpm_limit": "60"})
    made = Team.objects.get(name="Violet")
    assert made.allowed_models == ["gpt", "gemini-*"]
    assert made.options["rpm_limit"] == 60
    assert (
        budgets.described([budgets.team_subject(made.pk)])[budgets.team_subject(made.pk)]["max_budget"]
        == 12.5
    )


def test_saving_a_team_unchanged_changes_nothing_and_blank_takes_a_limit_away(
    owner_browser: Client, actor: Actor
):
    made = teams.create_team(
        actor=actor,
        name="Violet",
        options={"rpm_limit": 5},
        figures={"max_budget": 3, "budget_duration": "2d"},
    )
    events = AuditEvent.objects.count()
    same = {"name": "Violet", "rpm_limit": "5", "max_budget": "3.0", "budget_duration": "2d"}
    assert owner_browser.post(f"/teams/{made.team_id}/", same).status_code == 303
    assert AuditEvent.objects.count() == events
    owner_browser.post(f"/teams/{made.team_id}/", {"name": "Violet", "budget_duration": "2d"})
    made.refresh_from_db()
    assert "rpm_limit" not in made.options
    described = budgets.described([budgets.team_subject(made.pk)])[budgets.team_subject(made.pk)]
    assert described["max_budget"] is None


def test_a_team_admin_manages_members_but_not_the_team(team_admin: Client, team: Team, rival_member: User):
    place = f"/teams/{team.team_id}/"
    assert (
        team_admin.post(f"{place}members/", {"email": rival_member.email, "role": "viewer"}).status_code
        == 303
    )
    assert Membership.objects.get(team=team, user=rival_member).role == "viewer"
    assert team_admin.post(f"{place}members/{rival_member.pk}/remove/").status_code == 303
    assert not Membership.objects.filter(team=team, user=rival_member).exists()
    assert team_admin.post(place, {"name": "Mine"}).status_code == 403
    assert team_admin.post(f"{place}block/").status_code == 403
    assert team_admin.post(f"{place}delete/").status_code == 403
    assert team_admin.get("/teams/new/").status_code == 403


def test_members_see_their_team_and_change_nothing(member_browser: Client, team: Team, member: User):
    assert team.name in text_of(member_browser, f"/teams/{team.team_id}/")
    answer = member_browser.post(f"/teams/{team.team_id}/members/", {"email": member.email, "role": "admin"})
    assert answer.status_code == 403
    assert Membership.objects.get(team=team, user=member).role == "member"


def test_a_foreign_team_does_not_exist(member_browser: Client, rival: Team):
    assert member_browser.get(f"/teams/{rival.team_id}/").status_code == 404
    assert member_browser.post(f"/teams/{rival.team_id}/members/", {"email": "x@y.zz"}).status_code == 404
    assert rival.name not in text_of(member_browser, "/teams/")
    assert rival.name not in text_of(member_browser, "/search/?q=red")


def _named(page: str) -> list[str]:
    return re.findall(r"data-row>(Many \d+)<", page)


def test_among_many_teams_one_is_found_and_the_list_goes_on_page_by_page(owner_browser: Client) -> None:
    Team.objects.bulk_create(
        Team(team_id=f"many-{number:03}", name=f"Many {number:03}") for number in range(120)
    )
    seen, address = [], "/teams/"
    while address:
        shown = text_of(owner_browser, address)
        seen += _named(shown)
        found = re.search(r'href="(/teams/\?after=[^"]+)"', shown)
        address = found[1] if found else ""
    assert seen == [f"Many {number:03}" for number in range(120)]
    assert _named(text_of(owner_browser, "/teams/?q=y+007")) == ["Many 007"]
    assert "No team matches" in text_of(owner_browser, "/teams/?q=nobody%00")


def test_an_unknown_address_is_told_and_nobody_is_added(team_admin: Client, team: Team):
    team_admin.post(f"/teams/{team.team_id}/members/", {"email": "nobody@example.com", "role": "member"})
    assert "Nobody here has this address" in text_of(team_admin, f"/teams/{team.team_id}/")


def test_an_invitation_shows_its_link_once(owner_browser: Client, team: Team):
    form = {"email": "new@example.com", "team": team.pk, "team_role": "member", "role": "", "days": "7"}
    answer = owner_browser.post("/people/new/", form)
    assert "/join/" in answer.content.decode()
    assert answer["Cache-Control"] == "no-store"
    invitation = Invitation.objects.get()
    assert invitation.team == team
    assert "/join/" not in text_of(owner_browser, "/people/")
    owner_browser.post(f"/people/invitations/{invitation.pk}/withdraw/")
    assert not Invitation.objects.exists()


def test_people_are_changed_by_admins_and_only_owners_make_owners(owner_browser: Client, member: User):
    admin = User.objects.create_user("admin@example.com", "correct horse battery", role=User.Role.ADMIN)
    browser = signed_in(admin)
    form = {"name": "Mia", "role": "owner", "is_active": "on"}
    assert browser.post(f"/people/{member.pk}/", form).status_code == 422
    assert browser.post(f"/people/{member.pk}/", form | {"role": "auditor"}).status_code == 303
    member.refresh_from_db()
    assert (member.first_name, member.role) == ("Mia", "auditor")
    assert owner_browser.post(f"/people/{member.pk}/", form).status_code == 303
    member.refresh_from_db()
    assert member.is_superuser


def test_the_last_owner_cannot_switch_themselves_off(owner_browser: Client, owner: User):
    answer = owner_browser.post(f"/people/{owner.pk}/", {"name": "", "role": "owner"})
    assert answer.status_code == 422
    assert "last owner" in answer.content.decode()


def test_auditors_read_everything_and_change_nothing(team: Team, member: User):
    auditor = User.objects.create_user("audit@example.com", "correct horse battery", role=User.Role.AUDITOR)
    browser = signed_in(auditor)
    for path in (
        "/audit/",
        "/people/",
        f"/people/{member.pk}/",
        "/jobs/",
        "/settings/",
        "/usage/",
        "/providers/",
    ):
        assert browser.get(path).status_code == 200, path
    assert browser.get("/people/new/").status_code == 403
    assert browser.get("/settings/import/").status_code == 403
    assert browser.post(f"/people/{member.pk}/", {"role": "admin"}).status_code == 403
    assert browser.post("/jobs/again/").status_code == 403


def test_the_trail_shows_what_a_field_was_and_is(owner_browser: Client, actor: Actor, team: Team):
    teams.update_team(actor=actor, team=team, name="Navy")
    text = text_of(owner_browser, "/audit/?kind=team")
    assert "<del>Blue</del>" in text
    assert "<ins>Navy</ins>" in text
    assert "Navy" in owner_browser.get("/audit/csv/?kind=team").content.decode()


def test_jobs_name_the_error_and_try_again(owner_browser: Client, lived_in: ManagedFile):
    failed = ProviderFileMapping.objects.get(state="failed")
    assert "too large" in text_of(owner_browser, "/jobs/?state=failed")
    owner_browser.post(f"/jobs/{failed.pk}/again/")
    failed.refresh_from_db()
    assert failed.state == "pending"
    ProviderFileMapping.objects.filter(pk=failed.pk).update(state="failed")
    owner_browser.post("/jobs/again/", {"state": "failed"})
    failed.refresh_from_db()
    assert failed.state == "pending"


def test_settings_show_no_secret(owner_browser: Client, db: None):
    row = Settings.current()
    row.general = {"api_key_for_alerts": "very-secret", "port": 4000}
    row.save()
    text = text_of(owner_browser, "/settings/")
    assert "very-secret" not in text
    assert "4000" in text


def test_a_config_is_looked_at_first_and_imported_then(owner_browser: Client):
    looked = owner_browser.post("/settings/import/", {"text": CONFIG})
    assert "num_retries" in looked.content.decode()
    assert Settings.current().litellm == {}
    owner_browser.post("/settings/import/", {"text": CONFIG, "apply": "1"})
    assert Settings.current().litellm == {"num_retries": 4}
    upload = SimpleUploadedFile("config.yaml", CONFIG.encode())
    assert (
        "Nothing would change" in owner_browser.post("/settings/import/", {"file": upload}).content.decode()
    )
    assert "num_retries: 4" in owner_browser.get("/settings/config.yaml").content.decode()


@pytest.mark.parametrize("text", ["", "model_list: 7", "a: [", "\x00"])
def test_a_broken_config_is_refused_with_its_reason(text: str, owner_browser: Client):
    answer = owner_browser.post("/settings/import/", {"text": text})
    assert answer.status_code == 422
    assert "errorlist" in answer.content.decode() or "note bad" in answer.content.decode()


def test_saved_views_belong_to_the_person(owner_browser: Client, member_browser: Client):
    form = {"page": "requests", "name": "bad ones", "query": "?outcome=failed&after=x&live=1"}
    answer = owner_browser.post("/views/", form)
    assert answer["Location"] == "/requests/?outcome=failed"
    assert "bad ones" in text_of(owner_browser, "/requests/")
    assert "bad ones" not in text_of(member_browser, "/requests/")
    view = SavedView.objects.get()
    assert member_browser.post(f"/views/{view.pk}/delete/").status_code == 404
    owner_browser.post("/views/", form | {"query": "outcome=ok"})
    assert SavedView.objects.get().query == "outcome=ok"
    assert owner_browser.post("/views/", form | {"page": "login"}).status_code == 400
    owner_browser.post(f"/views/{view.pk}/delete/")
    assert not SavedView.objects.exists()


def test_the_palette_finds_what_the_person_may_see(
    owner_browser: Client, member_browser: Client, rival_browser: Client, key: VirtualKey, file: ManagedFile
):
    assert "blue key" in text_of(member_browser, "/search/?q=blue")
    assert "blue secrets.pdf" in text_of(member_browser, "/search/?q=secrets")
    assert "blue secrets.pdf" not in text_of(rival_browser, "/search/?q=secrets")
    assert "Invite a person" in text_of(owner_browser, "/search/?q=invite")
    assert "Invite a person" not in text_of(member_browser, "/search/?q=invite")
    part = text_of(owner_browser, "/search/?q=usage", **{"HX-Request": "true"})
    assert "<html" not in part
    assert 'href="/usage/"' in part


def test_a_key_keeps_what_was_not_changed_and_can_be_rolled(
    owner_browser: Client, key: VirtualKey, secret: str, actor: Actor
):
    keys.update_key(actor=actor, key=key, allowed_models=["gemini-*"], options={"tags": ["nightly"]})
    key.refresh_from_db()
    form = {"name": "new name", "allowed_models": ["gemini-*"], "days": "", "tpm_limit": "9000"}
    assert owner_browser.post(f"/keys/{key.pk}/", form).status_code == 303
    key.refresh_from_db()
    assert (key.name, key.allowed_models) == ("new name", ["gemini-*"])
    assert key.options == {"tags": ["nightly"], "tpm_limit": 9000}
    answer = owner_browser.post(f"/keys/{key.pk}/roll/", {"hours": "24"})
    assert answer["Cache-Control"] == "no-store"
    assert secret not in answer.content.decode()
    old = key.digest
    key.refresh_from_db()
    assert key.digest != old
    assert key.retired.get().digest == old


def test_a_foreign_key_cannot_be_looked_at_changed_or_rolled(rival_browser: Client, key: VirtualKey):
    for answer in (
        rival_browser.get(f"/keys/{key.pk}/"),
        rival_browser.post(f"/keys/{key.pk}/", {"name": "x"}),
        rival_browser.post(f"/keys/{key.pk}/roll/"),
    ):
        assert answer.status_code == 404


def test_members_look_at_keys_of_others_but_do_not_change_them(member_browser: Client, key: VirtualKey):
    assert "What the key may do" not in text_of(member_browser, f"/keys/{key.pk}/")
    assert member_browser.post(f"/keys/{key.pk}/", {"name": "x"}).status_code == 403
    assert member_browser.post(f"/keys/{key.pk}/roll/").status_code == 403


def test_a_copy_can_be_asked_for_at_one_more_account(
    member_browser: Client, rival_browser: Client, lived_in: ManagedFile, gemini_account: ProviderAccount
):
    place = f"/files/{lived_in.pk}/copies/add/"
    assert gemini_account.name in text_of(member_browser, f"/files/{lived_in.pk}/")
    assert rival_browser.post(place, {"account": gemini_account.pk}).status_code == 404
    assert member_browser.post(place, {"account": "999999"}).status_code == 404
    assert member_browser.post(place, {"account": gemini_account.pk}).status_code == 303
    assert lived_in.copies.get().account == gemini_account


def test_a_file_tells_which_models_read_it_and_how(
    member_browser: Client, team: Team, lived_in: ManagedFile, gemini_account: ProviderAccount
):
    path = f"/files/{lived_in.pk}/"
    assert "Copy is ready" not in text_of(member_browser, path)
    ProviderFileMapping.objects.create(file=lived_in, account=gemini_account, state="active")
    assert "Copy is ready" in text_of(member_browser, path)
    program = make_file(team, "setup.exe", media_type="application/x-msdownload")
    assert "Not read by" in text_of(member_browser, f"/files/{program.pk}/")


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml", "application/octet-stream"])
def test_nothing_that_could_run_becomes_part_of_a_page(media_type: str, member_browser: Client, team: Team):
    file = make_file(team, "evil", media_type=media_type, size=10)
    text = text_of(member_browser, f"/files/{file.pk}/")
    assert f'src="/v1/files/{file.pk}' not in text
    assert "<iframe" not in text


def test_actions_of_the_new_pages_answer_only_to_posts_with_a_token(owner: User, team: Team):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)
    for path in (
        "/teams/new/",
        f"/teams/{team.team_id}/block/",
        "/people/new/",
        "/views/",
        "/settings/import/",
    ):
        assert browser.post(path, {}).status_code == 403, path
    assert browser.get(f"/teams/{team.team_id}/block/").status_code == 405
