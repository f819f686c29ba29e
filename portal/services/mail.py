"""Sends e-mail by the SMTP server that is configured, in the environment or on the settings page."""

from __future__ import annotations

import smtplib
from contextlib import suppress
from dataclasses import dataclass, field

from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend

from portal.services.settings import Known
from providers.errors import Unavailable

SECONDS = 10
IMPLICIT_TLS_PORT = 465
NO_REPLY = "portico"


class Undelivered(Unavailable):
    """A message that did not arrive; says why in words that hold nothing secret."""

    code = "message_undelivered"


@dataclass(frozen=True, slots=True)
class MailServer:
    """With `tls` the connection begins so on port 465 and by STARTTLS on every other."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    sender: str
    tls: bool


def server(known: Known) -> MailServer | None:
    """None where no e-mail can be sent."""
    host = known["general_settings.smtp_host"]
    if not host:
        return None
    username = known["general_settings.smtp_username"]
    named = known["general_settings.smtp_sender_email"]
    return MailServer(
        host=host,
        port=known["general_settings.smtp_port"],
        username=username,
        password=known["secrets.smtp_password"],
        sender=named or (username if "@" in username else f"{NO_REPLY}@{host}"),
        tls=known["general_settings.smtp_tls"],
    )


def send(mail_server: MailServer, *, recipient: str, subject: str, text: str) -> None:
    """Hands one message over. Raises Undelivered."""
    is_implicit = mail_server.tls and mail_server.port == IMPLICIT_TLS_PORT
    connection = EmailBackend(
        host=mail_server.host,
        port=mail_server.port,
        username=mail_server.username,
        password=mail_server.password,
        use_tls=mail_server.tls and not is_implicit,
        use_ssl=is_implicit,
        timeout=SECONDS,
    )
    message = EmailMessage(
        subject=" ".join(subject.split()),
        body=text,
        from_email=mail_server.sender,
        to=[recipient],
        headers={"Auto-Submitted": "auto-generated"},
        connection=connection,
    )
    try:
        message.send()
    except smtplib.SMTPAuthenticationError:
        raise Undelivered("The mail server refused the user name and password.") from None
    except smtplib.SMTPRecipientsRefused:
        raise Undelivered("The mail server refused the recipient.") from None
    except smtplib.SMTPSenderRefused:
        raise Undelivered("The mail server refused the sender's address.") from None
    except smtplib.SMTPNotSupportedError:
        raise Undelivered(
            "The mail server does not offer what the settings ask for, TLS or a login."
        ) from None
    except smtplib.SMTPResponseException as error:
        raise Undelivered(f"The mail server answered {error.smtp_code}.") from None
    except TimeoutError:
        raise Undelivered("The mail server did not answer in time.") from None
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise Undelivered(f"The mail server could not be used ({type(error).__name__}).") from None
    finally:
        # A login that is refused leaves the connection open.
        with suppress(OSError):
            connection.close()
