"""Pages travel compressed; what is streamed does not."""

from __future__ import annotations

import gzip

from django.test import Client

from files.models import ManagedFile


def test_pages_and_their_parts_travel_compressed(owner_browser: Client, lived_in: ManagedFile):
    plain = owner_browser.get("/files/")
    for headers in ({}, {"HX-Request": "true"}):
        packed = owner_browser.get("/files/", headers={"Accept-Encoding": "gzip"} | headers)
        assert packed.headers["Content-Encoding"] == "gzip"
        assert "Accept-Encoding" in packed.headers["Vary"]
        assert len(packed.content) < len(plain.content) / 2
        assert lived_in.filename.encode() in gzip.decompress(packed.content)


def test_streams_and_data_stay_as_they_are(owner_browser: Client, lived_in: ManagedFile):
    for path in ("/requests/csv/", "/usage/csv/", "/settings/config.yaml"):
        answer = owner_browser.get(path, headers={"Accept-Encoding": "gzip"})
        assert answer.status_code == 200, path
        assert "Content-Encoding" not in answer.headers, path
