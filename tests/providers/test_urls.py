from __future__ import annotations

import pytest

from providers.errors import FileNotFound
from providers.urls import join, same_host, segment

BASE = "https://generativelanguage.googleapis.com/v1beta"


@pytest.mark.parametrize(
    "url",
    [
        "https://generativelanguage.googleapis.com/upload/v1beta/files?upload_id=x",
        "https://generativelanguage.googleapis.com:443/x",
        "https://GENERATIVELANGUAGE.googleapis.com./x",
    ],
)
def test_an_address_on_the_providers_host_is_taken(url: str) -> None:
    assert same_host(BASE, url)


@pytest.mark.parametrize(
    "url",
    [
        "http://generativelanguage.googleapis.com/x",
        "https://generativelanguage.googleapis.com:8443/x",
        "https://generativelanguage.googleapis.com.evil.example/x",
        "https://evil.example/generativelanguage.googleapis.com",
        "https://generativelanguage.googleapis.com@evil.example/",
        "https://user@generativelanguage.googleapis.com/",
        "https://evil.example#@generativelanguage.googleapis.com/",
        "https://evil.example\\@generativelanguage.googleapis.com/",
        "https://generativelanguage.googleapis.com\t.evil.example/",
        "https://generativelanguage.googleapis.com:99999/",
        "https://[bad/",
        "//generativelanguage.googleapis.com/x",
        "ftp://generativelanguage.googleapis.com/x",
        "/upload",
        "",
    ],
)
def test_an_address_anywhere_else_is_not(url: str) -> None:
    assert not same_host(BASE, url)
    assert not same_host(url, BASE)


def test_paths_are_joined_below_the_base() -> None:
    assert join("https://h/a/", "/b", {"q": "x y"}) == "https://h/a/b?q=x+y"
    assert join("https://h?v=1#f", "b", {"q": "1"}) == "https://h/b?v=1&q=1"


@pytest.mark.parametrize("value", ["", ".", "..", "a/b", "a%2fb", "a?b", "a b", "é", "a\n", "x" * 257])
def test_an_id_that_could_leave_its_place_is_no_id(value: str) -> None:
    with pytest.raises(FileNotFound):
        segment(value)
    assert segment("file-A_1") == "file-A_1"
