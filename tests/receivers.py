"""Who receives what the product sends: a mail server and a web server on the loopback interface."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer


@dataclass
class Received:
    """One mail as it came over the wire."""

    sender: str
    recipients: list[str]
    message: EmailMessage

    @property
    def text(self) -> str:
        return str(self.message.get_content())


class _Smtp(StreamRequestHandler):
    """Enough of RFC 5321 and RFC 4954 for a client that behaves; anything else is refused."""

    server: MailServer

    def handle(self) -> None:
        self._say("220 loopback")
        sender, recipients = "", list[str]()
        while line := self.rfile.readline(2048).decode("ascii").strip():
            word = line.upper()
            if word.startswith("EHLO"):
                self._say("250-loopback", "250-AUTH PLAIN", "250 8BITMIME")
            elif word.startswith("AUTH PLAIN "):
                given = base64.b64decode(line.split()[2]).decode().split("\0")[1:]
                self._say("235 ok" if given == self.server.account else "535 no")
            elif word.startswith("MAIL FROM:"):
                sender, recipients = _address(line), []
                self._say("250 ok")
            elif word.startswith("RCPT TO:"):
                is_refused = _address(line) in self.server.refused
                recipients += [] if is_refused else [_address(line)]
                self._say("550 unknown" if is_refused else "250 ok")
            elif word == "DATA":
                self._say("354 go on")
                self._take(sender, recipients)
                self._say("250 taken")
            elif word == "RSET":
                self._say("250 ok")
            elif word == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("502 unknown")

    def _take(self, sender: str, recipients: list[str]) -> None:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        message = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.server.received.append(Received(sender, recipients, message))

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())


class MailServer(ThreadingTCPServer):
    """Takes every mail but for `refused` recipients, from whoever knows `account`."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Smtp)
        self.received: list[Received] = []
        self.refused: set[str] = set()
        self.account = ["robot", "mail-password-0123"]

    @property
    def port(self) -> int:
        return int(self.server_address[1])


@dataclass
class Post:
    """One request that a web server got."""

    path: str
    headers: dict[str, str]
    body: bytes = field(repr=False)


class _Web(BaseHTTPRequestHandler):
    server: WebServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append(Post(self.path, headers, body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.send_header("content-length", "2")
        self.send_header("location", "/elsewhere")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: object) -> None:
        """Says nothing."""


class WebServer(ThreadingHTTPServer):
    """Keeps every POST, and answers with `answers` in turn, then with 200."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Web)
        self.received: list[Post] = []
        self.answers: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running(server: MailServer | WebServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]
