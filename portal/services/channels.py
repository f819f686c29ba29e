"""The ways a message leaves: e-mail, Slack, a signed webhook.

https://api.slack.com/messaging/webhooks
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Any

import orjson

from portal import env
from portal.models import Message
from portal.services import mail
from portal.services.mail import Undelivered
from portal.services.settings import Known
from providers.errors import UpstreamError, UpstreamTimeout
from providers.http import SyncClient
from providers.types import HttpRequest, Timeouts

CHANNEL = Message.Channel
PREFIX = "whsec_"
MAX_ANSWER = 64 * 1024
TIMEOUTS = Timeouts(connect=5.0, first_byte=10.0, idle=10.0, total=15.0)
ADDRESSES: Mapping[str, str] = {
    CHANNEL.SLACK: "secrets.slack_webhook_url",
    CHANNEL.WEBHOOK: "secrets.webhook_url",
}


def is_configured(channel: str, known: Known) -> bool:
    """Is there an address or a server to send to?"""
    if channel == CHANNEL.EMAIL:
        return mail.server(known) is not None
    return bool(known[ADDRESSES[channel]])


def is_on(channel: str, known: Known) -> bool:
    """Do alerts go this way?"""
    return channel in known["general_settings.alerting"] and (
        is_configured(channel, known)
        or (channel == CHANNEL.SLACK and bool(known["general_settings.alert_to_webhook_url"]))
    )


def deliver(message: Message, content: Mapping[str, Any], known: Known) -> None:
    """Sends one message. Raises Undelivered."""
    match message.channel:
        case CHANNEL.EMAIL:
            server = mail.server(known)
            if server is None:
                raise Undelivered("No mail server is configured.")
            mail.send(server, recipient=message.recipient, subject=content["subject"], text=content["text"])
        case CHANNEL.SLACK:
            _post(_address(message, known), orjson.dumps(content), {})
        case CHANNEL.WEBHOOK:
            body = orjson.dumps(content)
            _post(_address(message, known), body, signed(body, f"msg_{message.pk}", known))
        case _:
            raise Undelivered("This version does not know the channel.")


def signed(body: bytes, identifier: str, known: Known, now: int | None = None) -> dict[str, str]:
    """The headers by which a receiver knows that we sent the body; without a secret only its id."""
    moment = str(int(time.time()) if now is None else now)
    headers = {"webhook-id": identifier, "webhook-timestamp": moment}
    secret = known["secrets.webhook_secret"]
    if secret:
        told = b".".join((identifier.encode(), moment.encode(), body))
        digest = hmac.digest(_key(secret), told, hashlib.sha256)
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers


def new_webhook_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def _key(secret: str) -> bytes:
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise Undelivered("The webhook's secret must be base64 after whsec_.") from None


def _address(message: Message, known: Known) -> str:
    address = env.resolve(message.target) if message.target else known[ADDRESSES[message.channel]]
    if not address:
        raise Undelivered("No address is configured.")
    return str(address)


def _post(address: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Raises Undelivered without the address, which is a secret."""
    request = HttpRequest(
        "POST", address, {"content-type": "application/json", **headers}, body, timeouts=TIMEOUTS
    )
    try:
        with SyncClient(trust_env=True, max_body_bytes=MAX_ANSWER) as client:
            answer = client.send(request)
    except UpstreamTimeout:
        raise Undelivered("The receiver did not answer in time.") from None
    except UpstreamError:
        raise Undelivered("The address could not be reached.") from None
    if not 200 <= answer.status < 300:
        raise Undelivered(f"The receiver answered {answer.status}.")
