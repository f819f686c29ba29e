"""Who a key, the master key or a person is, and what each may use."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from portal.models import Membership, Revision, Settings, Team, User, VirtualKey
from portal.services import access, catalog, keys, teams
from portal.services.access import Caller, authenticate, caller_for_token, caller_for_user, token_of
from portal.services.audit import Actor
from providers.errors import Forbidden, Unauthenticated, Unavailable

CHANGES = ("block", "delete", "block team", "delete team")


def refusal(token: str | None, now: float | None = None) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        caller_for_token(token, now)
    return caught.value


@given(st.lists(st.text(min_size=1, max_size=80), min_size=2, max_size=40, unique=True))
def test_distinct_keys_never_share_a_digest_slot(tokens: list[str]):
    assert len({keys.digest_of(token) for token in tokens}) == len(tokens)


def test_a_hundred_thousand_keys_with_a_common_beginning_stay_distinct():
    assert (
        len({keys.digest_of(f"sk-same-twenty-characters-{number}") for number in range(100_000)}) == 100_000
    )


def test_a_key_is_its_team(team: Team, key: VirtualKey, secret: str):
    caller = caller_for_token(secret)
    assert (caller.kind, caller.team_id) == ("key", team.pk)
    assert caller.team_ids == {team.pk}
    assert (caller.key_id, caller.is_admin, caller.name) == (key.pk, False, "blue key")


def test_rival_keys_do_not_see_each_other(caller: Caller, rival_caller: Caller):
    assert not caller.team_ids & rival_caller.team_ids
    assert VirtualKey.objects.visible_to(caller).get().name == "blue key"


def test_what_is_stored_of_a_key_is_not_a_key(key: VirtualKey, secret: str):
    assert secret not in repr(vars(key))
    assert refusal(key.digest).code == "invalid_api_key"


def test_no_key_and_a_wrong_key_read_differently_and_repeat_nothing(db: None):
    assert refusal(None).code == refusal("").code == "missing_api_key"
    wrong = refusal("sk-not-a-key-of-ours")
    assert wrong.code == "invalid_api_key"
    assert "not-a-key" not in wrong.message


def test_unknown_and_deleted_keys_read_alike(actor: Actor, key: VirtualKey, secret: str):
    keys.delete_key(actor=actor, key=key)
    catalog.refresh()
    assert refusal(secret).to_body() == refusal("sk-never-was-a-key").to_body()


def test_a_key_ends_at_its_moment(actor: Actor, team: Team):
    end = timezone.now() + timedelta(hours=1)
    _, secret = keys.create_key(actor=actor, team=team, name="short", expires_at=end)
    assert caller_for_token(secret, end.timestamp() - 1).name == "short"
    assert refusal(secret, end.timestamp()).code == "key_expired"


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_holds_after_the_next_refresh(
    change: str, actor: Actor, team: Team, key: VirtualKey, secret: str, rival_secret: str
):
    assert caller_for_token(secret).key_id == key.pk
    match change:
        case "block":
            keys.block_key(actor=actor, key=key)
        case "delete":
            keys.delete_key(actor=actor, key=key)
        case "block team":
            teams.block_team(actor=actor, team=team)
        case "delete team":
            teams.delete_team(actor=actor, team=team)
    catalog.refresh()
    expected = {"block": "key_blocked", "block team": "team_blocked"}.get(change, "invalid_api_key")
    assert refusal(secret).code == expected
    assert caller_for_token(rival_secret).name == "red key"


def test_an_unblocked_key_works_again(actor: Actor, key: VirtualKey, secret: str):
    keys.block_key(actor=actor, key=key)
    catalog.refresh()
    assert refusal(secret).code == "key_blocked"
    keys.unblock_key(actor=actor, key=key)
    catalog.refresh()
    assert caller_for_token(secret).key_id == key.pk


def test_both_lists_must_allow_a_model(actor: Actor, db: None):
    team = teams.create_team(actor=actor, name="Narrow", allowed_models=["gemini/*", "gpt"])
    _, secret = keys.create_key(actor=actor, team=team, name="narrower", allowed_models=["gemini/a", "other"])
    caller = caller_for_token(secret)
    answers = {name: caller.may_use(name) for name in ("gemini/a", "gemini/b", "gpt", "other")}
    assert answers == {"gemini/a": True, "gemini/b": False, "gpt": False, "other": False}


@pytest.mark.parametrize(
    ("allowed", "name", "answer"),
    [
        ([], "anything", True),
        (["*"], "anything", True),
        (["gemini/*"], "gemini/gemini-2.5-pro", True),
        (["gemini/*"], "gemini", False),
        (["gemini/*"], "geminix/y", False),
        (["gpt"], "gpt-4", False),
        (["a*b"], "axb", False),
    ],
)
def test_patterns_in_allow_lists(actor: Actor, team: Team, allowed: list[str], name: str, answer: bool):
    _, secret = keys.create_key(actor=actor, team=team, name="k", allowed_models=allowed)
    assert caller_for_token(secret).may_use(name) is answer


def test_without_a_master_key_there_is_none(db: None):
    assert catalog.snapshot().master_digest is None
    assert refusal("sk-1234").code == "invalid_api_key"


def test_the_master_key_of_a_config_file_acts_for_the_default_team(db: None):
    Settings.objects.update_or_create(pk=1, defaults={"master_key_digest": keys.digest_of("sk-master-1234")})
    caller = caller_for_token("sk-master-1234")
    assert (caller.kind, caller.is_admin, caller.team_name) == ("master", True, "Default")
    assert refusal(keys.digest_of("sk-master-1234")).code == "invalid_api_key"


def test_the_environments_master_key_beats_the_config_files(db: None, settings):
    settings.PORTICO_MASTER_KEY = "sk-from-the-environment"
    Settings.objects.update_or_create(pk=1, defaults={"master_key_digest": keys.digest_of("sk-master-1234")})
    assert caller_for_token("sk-from-the-environment").is_admin
    assert refusal("sk-master-1234").code == "invalid_api_key"


def test_a_master_key_may_be_a_reference(db: None, monkeypatch: pytest.MonkeyPatch):
    Settings.objects.update_or_create(pk=1, defaults={"general": {"master_key": "os.environ/LITELLM_MASTER"}})
    assert catalog.snapshot().master_digest is None
    monkeypatch.setenv("LITELLM_MASTER", "sk-referred-to")
    catalog.forget()
    assert caller_for_token("sk-referred-to").is_admin


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"authorization": "Bearer sk-1"}, "sk-1"),
        ({"authorization": "bearer   sk-1 "}, "sk-1"),
        ({"x-api-key": "sk-1"}, "sk-1"),
        ({"api-key": "sk-1"}, "sk-1"),
        ({"x-goog-api-key": "sk-1"}, "sk-1"),
        ({"x-litellm-api-key": "Bearer sk-1"}, "sk-1"),
        ({"x-litellm-api-key": "sk-1", "authorization": "Bearer other"}, "sk-1"),
        ({"authorization": "Bearer "}, None),
        ({"authorization": ""}, None),
        ({"accept": "*/*"}, None),
    ],
)
def test_the_key_is_found_in_any_of_its_headers(headers: dict[str, str], token: str | None):
    assert token_of(headers) == token


def test_another_authorization_scheme_is_refused():
    with pytest.raises(Unauthenticated):
        token_of({"authorization": "Basic c2stMTIzNA=="})


@pytest.mark.django_db(transaction=True)
async def test_a_key_made_a_moment_ago_works_at_once(actor: Actor):
    team = await sync_to_async(teams.create_team)(actor=actor, name="Blue")
    await sync_to_async(catalog.refresh)()
    _, secret = await sync_to_async(keys.create_key)(actor=actor, team=team, name="new")
    assert (await authenticate({"authorization": f"Bearer {secret}"})).name == "new"


@pytest.mark.django_db(transaction=True)
async def test_many_unknown_keys_share_one_question(actor: Actor, monkeypatch: pytest.MonkeyPatch):
    await sync_to_async(catalog.refresh)()
    asked: list[int] = []
    latest = Revision.latest

    def counted() -> int:
        asked.append(1)
        return latest()

    monkeypatch.setattr(Revision, "latest", counted)
    tries = [authenticate({"x-api-key": f"sk-unknown-{number}"}) for number in range(50)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unauthenticated}
    assert len(asked) <= 2


@pytest.mark.django_db(transaction=True)
async def test_a_database_that_is_away_never_reads_as_a_wrong_key(
    secret: str, monkeypatch: pytest.MonkeyPatch
):
    await sync_to_async(catalog.refresh)()

    def away() -> int:
        raise OperationalError("away")

    monkeypatch.setattr(Revision, "latest", away)
    assert (await authenticate({"x-api-key": secret})).kind == "key"
    with pytest.raises(Unavailable) as caught:
        await authenticate({"x-api-key": "sk-perhaps-made-just-now"})
    assert (caught.value.code, caught.value.retry_after) == ("db_unavailable", access.RETRY_SECONDS)


def test_a_member_acts_for_their_team_only(team: Team, rival: Team, member: User):
    caller = caller_for_user(member)
    assert (caller.kind, caller.team_id, caller.is_admin) == ("session", team.pk, False)
    assert caller.team_ids == {team.pk}
    assert caller.team_roles == {team.pk: "member"}
    with pytest.raises(Forbidden):
        caller_for_user(member, rival.pk)


def test_an_owner_may_act_for_any_team(owner: User, rival: Team):
    assert caller_for_user(owner).team_name == "Default"
    assert caller_for_user(owner, rival.pk).team_id == rival.pk
    assert caller_for_user(owner).is_admin


def test_an_auditor_sees_every_team_and_is_no_admin(team: Team, rival: Team):
    auditor = User.objects.create_user("auditor@example.com", role=User.Role.AUDITOR)
    caller = caller_for_user(auditor)
    assert {team.pk, rival.pk} <= caller.team_ids
    assert not caller.is_admin


def test_a_person_without_a_team_is_refused(db: None):
    with pytest.raises(Forbidden) as caught:
        caller_for_user(User.objects.create_user("alone@example.com"))
    assert caught.value.code == "no_team"


def test_a_person_switched_off_is_refused(member: User):
    member.is_active = False
    with pytest.raises(Forbidden):
        caller_for_user(member)


def test_members_of_a_blocked_team_are_refused(actor: Actor, team: Team, rival: Team, member: User):
    teams.block_team(actor=actor, team=team)
    with pytest.raises(Forbidden):
        caller_for_user(member)
    teams.set_member(actor=actor, team=rival, user=member, role=Membership.Role.VIEWER)
    assert caller_for_user(member).team_id == rival.pk


def test_a_team_narrows_what_its_people_may_use(actor: Actor, team: Team, member: User):
    teams.update_team(actor=actor, team=team, allowed_models=["gpt"])
    catalog.refresh()
    caller = caller_for_user(member)
    assert caller.may_use("gpt")
    assert not caller.may_use("gemini")
