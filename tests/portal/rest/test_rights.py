"""Keys that are bound to addresses and routes."""

from __future__ import annotations

from typing import Any

import pytest

from portal.models import Team
from portal.rest import rights
from portal.services import keys
from portal.services.audit import Actor
from tests.portal.server import Server


@pytest.mark.parametrize(
    ("allowed", "path", "may"),
    [
        ("llm_api_routes", "/v1/chat/completions", True),
        ("llm_api_routes", "/chat/completions", True),
        ("llm_api_routes", "/gemini/v1/files/file-1", True),
        ("llm_api_routes", "/gemini/v1beta/models/m:generateContent", True),
        ("google_routes", "/upload/v1/files", True),
        ("google_routes", "/v1alpha/files/file-1", True),
        ("llm_api_routes", "/key/generate", False),
        ("llm_api_routes", "/model/new", False),
        ("openai_routes", "/gemini/v1beta/models/m:generateContent", False),
        ("info_routes", "/v1/models", True),
        ("llm_api_routes", "/azure/v1/files/file-1", True),
        ("llm_api_routes", "/credentials/files", False),
        ("llm_api_routes", "/key/models/regenerate", False),
        ("info_routes", "/model/new", False),
        ("info_routes", "/v2/user/info", True),
        ("info_routes", "/health/readiness", True),
        ("info_routes", "/health/test_connection", False),
        ("management_routes", "/team/new", True),
        ("management_routes", "/v1/files", False),
        ("management_routes", "/credentials/by_name/files", True),
        ("key_management_routes", "/team/new", False),
        ("spend_tracking_routes", "/spend/logs", True),
        ("spend_tracking_routes", "/key/spend/report", True),
        ("spend_tracking_routes", "/team/daily/activity", True),
        ("/v1/chat/completions", "/chat/completions", True),
        ("/v1/chat/completions", "/v1/completions", False),
        ("/v1/files*", "/v1/files/file-1/content", True),
    ],
)
def test_routes_are_named_by_group_path_or_beginning(allowed: str, path: str, may: bool):
    assert rights._covers(allowed, path) is may


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "address"),
    [
        ("198.51.100.7", "10.0.0.1", [], "198.51.100.7"),
        ("198.51.100.7", "10.0.0.1", ["127.0.0.1"], "198.51.100.7"),
        ("127.0.0.1", "10.0.0.1, 198.51.100.7", ["127.0.0.1"], "198.51.100.7"),
        ("127.0.0.1", "10.0.0.1, 192.168.1.1", ["127.0.0.1", "192.168.0.0/16"], "10.0.0.1"),
        ("127.0.0.1", "nonsense", ["127.0.0.1"], None),
        ("::ffff:10.0.0.1", "", [], "10.0.0.1"),
    ],
)
def test_only_trusted_proxies_say_where_a_request_comes_from(
    peer: str, forwarded: str, trusted: list[str], address: str | None, settings: Any
):
    settings.TRUSTED_PROXIES = trusted
    found = rights.client_address({"client": (peer, 1)}, {"x-forwarded-for": forwarded})
    assert (str(found) if found else None) == address


def test_a_key_bound_to_addresses_and_routes_is_refused_elsewhere(server: Server, team: Team, actor: Actor):
    def made(**options: Any) -> str:
        return keys.create_key(actor=actor, team=team, name="bound", options=options)[1]

    here = made(allowed_ips=["127.0.0.0/8"], allowed_routes=["info_routes"])
    with server.client(here) as client:
        assert client.get("/v1/models").status_code == 200
        refused = client.post("/v1/chat/completions", json={})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "route_not_allowed")
    with server.client(made(allowed_ips=["10.0.0.0/8"])) as client:
        refused = client.get("/v1/models")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "ip_not_allowed")


def test_file_rights_can_be_taken_away(server: Server, team: Team, actor: Actor):
    _, secret = keys.create_key(
        actor=actor,
        team=team,
        name="reader",
        options={"permissions": {"files.create": False, "files.delete": False}},
    )
    with server.client(secret) as client:
        assert client.get("/v1/files").status_code == 200
        sent = client.post("/v1/files", files={"file": ("a.txt", b"hi")}, data={"purpose": "user_data"})
        assert (sent.status_code, sent.json()["error"]["code"]) == (403, "permission_denied")
        assert client.delete("/v1/files/file-1").status_code == 403
