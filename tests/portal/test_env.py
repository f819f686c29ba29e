"""Typed readers of the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from portal import env
from portal.env import BadEnvironment


@pytest.fixture(autouse=True)
def _no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("H5_VALUE", "H5_VALUE_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_an_empty_value_counts_as_absent(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("H5_VALUE", "  ")
    assert env.text("H5_VALUE", "default") == "default"
    assert env.flag("H5_VALUE", default=True) is True
    assert env.integer("H5_VALUE", 7) == 7
    assert env.secret("H5_VALUE") is None


@pytest.mark.parametrize(
    ("written", "meant"), [("1", True), ("TRUE", True), ("on", True), ("no", False), ("0", False)]
)
def test_flags(monkeypatch: pytest.MonkeyPatch, written: str, meant: bool):
    monkeypatch.setenv("H5_VALUE", written)
    assert env.flag("H5_VALUE", default=not meant) is meant


@pytest.mark.parametrize("written", ["maybe", "2", "yess"])
def test_a_flag_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, written: str):
    monkeypatch.setenv("H5_VALUE", written)
    with pytest.raises(BadEnvironment, match="H5_VALUE"):
        env.flag("H5_VALUE")


@pytest.mark.parametrize("written", ["x", "1.5", "-1"])
def test_numbers_are_checked(monkeypatch: pytest.MonkeyPatch, written: str):
    monkeypatch.setenv("H5_VALUE", written)
    with pytest.raises(BadEnvironment, match="H5_VALUE"):
        env.integer("H5_VALUE", 1)


def test_choices_are_checked(monkeypatch: pytest.MonkeyPatch):
    assert env.choice("H5_VALUE", {"a", "b"}, "a") == "a"
    monkeypatch.setenv("H5_VALUE", "c")
    with pytest.raises(BadEnvironment, match="a, b"):
        env.choice("H5_VALUE", {"a", "b"}, "a")


def test_lists_are_split(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("H5_VALUE", " a, ,b,")
    assert env.items("H5_VALUE") == ["a", "b"]


def test_a_secret_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    path = tmp_path / "secret"
    path.write_text("first line \nsecond\n")
    monkeypatch.setenv("H5_VALUE_FILE", str(path))
    assert env.secret("H5_VALUE") == "first line"
    assert env.resolve("os.environ/H5_VALUE") == "first line"
    monkeypatch.setenv("H5_VALUE", "itself")
    assert env.secret("H5_VALUE") == "itself"


@pytest.mark.parametrize("content", [None, "", "\n\nx"])
def test_a_secret_file_that_gives_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
):
    path = tmp_path / "secret"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("H5_VALUE_FILE", str(path))
    with pytest.raises(BadEnvironment, match="H5_VALUE_FILE"):
        env.secret("H5_VALUE")


def test_references_are_told_from_values():
    assert env.is_reference("os.environ/NAME")
    assert not env.is_reference("environ/NAME")
    assert not env.is_reference(None)
    assert env.resolve("plain") == "plain"
    assert env.resolve("os.environ/H5_VALUE") is None
