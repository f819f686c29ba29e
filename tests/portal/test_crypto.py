"""Sealed secrets, the keyring, and keyed hashes of virtual keys."""

from __future__ import annotations

import base64
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal import crypto
from portal.crypto import CannotOpen, Keyring
from portal.env import BadEnvironment

OLD = f"k1:{base64.b64encode(b'1' * 32).decode()}"
NEW = f"k2:{base64.b64encode(b'2' * 32).decode()}"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.text(alphabet="abc:1", max_size=20))
def test_what_was_sealed_opens_at_its_place_alone(plain: str, place: str):
    ring = Keyring.parse(OLD)
    sealed = ring.seal(plain, place)
    assert ring.open(sealed, place) == plain
    with pytest.raises(CannotOpen):
        ring.open(sealed, place + "x")


def test_the_first_key_seals_and_all_open():
    sealed = Keyring.parse(OLD).seal("secret", "here")
    both = Keyring.parse(f"{NEW},{OLD}")
    assert both.open(sealed, "here") == "secret"
    assert not both.is_current(sealed)
    assert both.is_current(both.seal("secret", "here"))
    with pytest.raises(CannotOpen, match="'k1' is not in PORTICO_ENCRYPTION_KEYS"):
        Keyring.parse(NEW).open(sealed, "here")


def test_the_same_text_never_seals_the_same_way_twice():
    ring = Keyring.parse(OLD)
    assert len({ring.seal("x", "p") for _ in range(1000)}) == 1000


@given(st.text(max_size=60))
def test_anything_else_does_not_open_and_says_so(garbage: str):
    with pytest.raises(CannotOpen):
        Keyring.parse(OLD).open(garbage, "place")


@given(st.integers(min_value=0), st.integers(1, 255))
def test_a_changed_value_does_not_open(position: int, change: int):
    ring = Keyring.parse(OLD)
    sealed = ring.seal("the secret", "place")
    head, _, encoded = sealed.rpartition(":")
    data = bytearray(base64.b64decode(encoded))
    data[position % len(data)] ^= change
    with pytest.raises(CannotOpen):
        ring.open(f"{head}:{base64.b64encode(data).decode()}", "place")


@pytest.mark.parametrize(
    "written",
    ["", "k1", "k1:", "k1:AAAA", ":" + "A" * 44, "k-1:" + "A" * 44, f"{OLD},{OLD}", "k1:not base64!"],
)
def test_a_wrong_keyring_is_refused_without_repeating_it(written: str):
    with pytest.raises(BadEnvironment) as caught:
        Keyring.parse(written)
    assert written[3:] not in str(caught.value) or len(written) < 8


def test_keys_stay_out_of_the_repr():
    assert "1111" not in repr(Keyring.parse(OLD))


def test_generated_keyrings_can_be_read():
    assert list(Keyring.parse(crypto.new_encryption_keys()).keys) == ["k1"]


def test_new_virtual_keys_are_well_formed_and_never_alike():
    made = [crypto.new_virtual_key() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(crypto.is_well_formed(key) for key in made)
    assert all(len(key) == len("sk-") + 32 + 6 for key in made)


@given(st.integers(3, 40), st.characters())
def test_a_typing_error_shows(position: int, replacement: str):
    key = crypto.new_virtual_key()
    changed = key[:position] + replacement + key[position + 1 :]
    assert crypto.is_well_formed(changed) is (changed == key)


@given(st.text(max_size=80))
def test_any_text_can_be_asked_about(text: str):
    assert crypto.is_well_formed(text) in (True, False)
    assert len(crypto.key_digest(text, "pepper")) == 64
    assert crypto.key_hint(text)


def test_digests_depend_on_the_pepper():
    assert crypto.key_digest("sk-1", "a") != crypto.key_digest("sk-1", "b")
    assert crypto.subkey("secret", "keys") != crypto.subkey("secret", "setup")


def test_many_processes_agree_on_one_generated_secret(tmp_path: Path):
    found: list[str] = []
    start = threading.Barrier(8)

    def make(number: int) -> None:
        start.wait()
        found.append(crypto.generated(tmp_path, "name", f"secret-{number}"))

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    path = tmp_path / "secrets" / "name"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["name"]
