"""Every list in a large house: few queries however long it is, light pages, nothing stored that runs."""

from __future__ import annotations

import gzip
from html.parser import HTMLParser

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from portal.models import Team, User
from portal.services import catalog
from tests import large

MOST_QUERIES = 12
HEAVIEST = 30 * 1024
"""Compressed HTML; scripts, styles and the rest take up to 45 KB more, and a page may weigh 110."""
LISTS = (
    "/",
    "/files/",
    "/files/?q=file&state=failed",
    "/playground/",
    "/keys/",
    "/keys/?q=key",
    "/keys/new/",
    "/teams/new/",
    "/teams/default/",
    "/models/",
    "/models/?q=model",
    "/models/test-all/",
    "/providers/",
    "/requests/",
    "/requests/?outcome=failed&range=30d",
    "/requests/?q=model&range=7d",
    "/requests/?q=nothing+at+all&range=1h&slower=1s",
    "/requests/?provider=openai&range=30d",
    *(f"/usage/?by={by}" for by in ("team", "model", "key", "user", "provider", "endpoint", "tag")),
    "/teams/",
    "/people/",
    "/audit/",
    "/audit/?q=some",
    "/jobs/",
    "/search/?q=model",
)


class Page(HTMLParser):
    """Collects what would run: inline scripts, handlers, addresses that are code, images of nobody's."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.running: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        is_code = any(value.strip().lower().startswith("javascript:") for value in given.values())
        is_foreign = (tag == "script" and "src" not in given) or (tag == "img" and given.get("src") == "x")
        if (
            is_foreign
            or (is_code and tag in ("a", "form", "iframe"))
            or any(n.startswith("on") for n in given)
        ):
            self.running.append(f"{tag} {given}")


def test_lists_are_light_take_few_queries_and_run_nothing_that_was_stored(owner: User, owner_browser: Client):
    large.fill()
    catalog.refresh()
    wrong = {}
    for path in LISTS:
        with CaptureQueriesContext(connection) as captured:
            response = owner_browser.get(path)
        text = response.content.decode()
        found = (
            response.status_code,
            len(captured),
            len(gzip.compress(response.content)),
            Page(text).running,
        )
        if found[0] != 200 or found[1] > MOST_QUERIES or found[2] > HEAVIEST or found[3]:
            wrong[path] = found
    assert wrong == {}


@pytest.mark.parametrize("who", ["owner", "member"])
def test_lists_take_as_many_queries_however_long_they_are(
    who: str, team: Team, owner: User, member: User, owner_browser: Client, member_browser: Client
):
    browser = owner_browser if who == "owner" else member_browser

    def queries() -> dict[str, int]:
        found = {}
        for path in LISTS:
            with CaptureQueriesContext(connection) as captured:
                browser.get(path)
            found[path] = len(captured)
        return found

    large.fill(models=50, files=60, keys=60, calls=60, teams=15)
    catalog.refresh()
    few = queries()
    large.fill(models=500, files=600, keys=600, calls=600, teams=150, mark="more ")
    catalog.refresh()
    assert queries() == few
