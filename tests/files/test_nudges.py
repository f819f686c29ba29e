"""Workers are woken when they can be; nothing waits for the broker and nothing fails with it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from django.db import transaction
from kombu.exceptions import OperationalError

from files import nudges


class Broker:
    """Stands in the place of Celery's connection."""

    def __init__(self, answer: Callable[[], None]) -> None:
        self.sent: list[tuple[str, tuple[Any, ...]]] = []
        self.answer = answer

    def send_task(self, name: str, args: tuple[Any, ...], **options: Any) -> None:
        assert options == {"retry": False, "ignore_result": True}
        self.answer()
        self.sent.append((name, args))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> nudges.Sender:
    made = nudges.Sender()
    monkeypatch.setattr(nudges, "_sender", made)
    return made


@pytest.mark.django_db(transaction=True)
def test_workers_are_woken_after_the_commit_and_not_by_what_was_rolled_back(
    sender: nudges.Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = Broker(lambda: None)
    monkeypatch.setattr(Celery, "send_task", broker.send_task)
    with transaction.atomic():
        nudges.send("files.tasks.copy_file", 1)
        transaction.set_rollback(True)
    with transaction.atomic():
        nudges.send("files.tasks.copy_file", 2)
        assert broker.sent == []
    until(lambda: broker.sent == [("files.tasks.copy_file", (2,))])


def test_a_broker_that_is_away_is_told_of_once(
    sender: nudges.Sender, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []

    def refuse() -> None:
        tries.append(1)
        raise OperationalError("amqp://user:secret@host")

    monkeypatch.setattr(Celery, "send_task", Broker(refuse).send_task)
    with caplog.at_level(logging.WARNING):
        for number in range(5):
            sender.put("files.tasks.copy_file", number)
        until(lambda: len(tries) == 5)
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text


def test_a_broker_that_hangs_delays_nobody(sender: nudges.Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang() -> None:
        release.wait(10)

    broker = Broker(hang)
    monkeypatch.setattr(Celery, "send_task", broker.send_task)
    began = time.monotonic()
    for number in range(nudges.WAITING + 100):
        sender.put("files.tasks.copy_file", number)
    assert time.monotonic() - began < 1
    release.set()
    until(lambda: len(broker.sent) >= nudges.WAITING)


def test_nudges_go_to_the_configured_broker(settings: Any) -> None:
    assert nudges.client().conf.broker_url == settings.CELERY_BROKER_URL
