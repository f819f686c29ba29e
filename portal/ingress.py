"""The outermost guard, raw ASGI: decides on key, verb, size and framing before a byte of the body is read."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, quote, urlencode

from django.conf import settings

from portal.rest import metrics, rights
from portal.rest.errors import error_answer, from_exception
from portal.rest.exchange import Exchange
from portal.rest.request import ApiRequest, ClientGone, Message, Receive, Scope, Send
from portal.rest.routes import Route, find_route, is_api_shaped, is_page, path_meant
from portal.rest.sessions import caller_of_session, has_session
from portal.rest.views import PUBLIC
from portal.services import contents, upload_addresses
from portal.services.access import KEY_HEADERS, Caller, authenticate
from providers.errors import (
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PorticoError,
    Unavailable,
    UnsupportedMedia,
)

App = Callable[[Scope, Receive, Send], Awaitable[None]]

PAGE_BODY_BYTES = 10 * 2**20
SMALL_BODY_BYTES = 2**20
"""For verbs whose body nobody reads."""
UPLOAD_OVERHEAD_BYTES = 2**20
"""What a form may need around a file of the largest size."""
ONCE = frozenset({"content-length", "content-type", "host", "transfer-encoding", *KEY_HEADERS})
"""Headers that must not be sent twice: whoever reads the other copy would see another request."""
PROGRAMS_KEYS = frozenset(name.encode() for name in KEY_HEADERS if name != "authorization")
"""Headers that no browser sends. It does send `authorization` where a proxy in front asks for a password."""
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
CLIENT_CLOSED = 499
"""What metrics count for a client that left before its answer began."""


class Ingress:
    """Sends API requests to one handler and pages to another.

    An API request reaches its handler with `portico.route`, `portico.headers`, `portico.request_id` and
    `portico.caller` in its scope. Whatever fails on the way is answered here, in one shape.
    """

    def __init__(self, api: App, pages: App) -> None:
        self.api = api
        self.pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        began_at = time.perf_counter()
        request_id = scope["portico.request_id"] = f"req_{os.urandom(16).hex()}"
        stamp = request_id.encode()
        exchange = Exchange(receive, send, [(b"x-request-id", stamp), (b"x-litellm-call-id", stamp)])
        route = None
        try:
            route = find_route(path_meant(scope))
            if route is not None or is_api_shaped(scope["path"]) or _is_lost_program(scope):
                await self._serve_api(scope, exchange, route)
            else:
                await self._serve_page(scope, exchange)
        except ClientGone:
            pass
        except asyncio.CancelledError:
            if exchange.status is not None:
                raise
            message = "The server is shutting down. Try again."
            await _refuse(exchange, Unavailable(message, code="shutting_down", retry_after=1))
        except Exception as exception:  # the door of the API: every failure gets its answer here
            if exchange.status is not None:
                # Let the server break the connection, so that nobody takes the answer for whole.
                raise
            await _refuse(exchange, from_exception(exception, request_id))
        finally:
            template = route.template if route else "other"
            status = CLIENT_CLOSED if exchange.status is None else exchange.status
            metrics.observe(scope["method"], template, status, time.perf_counter() - began_at)

    async def _serve_api(self, scope: Scope, exchange: Exchange, route: Route | None) -> None:
        headers = scope["portico.headers"] = _headers(scope)
        exchange.announce(headers)
        method = scope["method"]
        if _is_for_the_page(scope, headers):
            await _send_to_page(scope, exchange)
            return
        if route is None:
            raise NotFound(f"Nothing is served at {method} {scope['path'][:200]}.", code="unknown_route")
        if method not in route.methods:
            error = MethodNotAllowed(f"{method} is not possible here; use {' or '.join(route.methods)}.")
            error.headers["allow"] = ", ".join(route.methods)
            raise error
        _check_framing(headers)
        contents.note_headers(headers)
        scope["portico.route"] = route
        if route.view_class.key_in_query:
            _take_key_from_query(scope, headers)
        if method != "OPTIONS" and route.view_class.permission_for(method) != PUBLIC:
            caller = scope["portico.caller"] = await _caller(scope, headers, route)
            rights.check(caller, scope, headers)
        exchange.allow(_body_limit(method, route))
        await self.api(scope, exchange.receive, exchange.send)

    async def _serve_page(self, scope: Scope, exchange: Exchange) -> None:
        headers = _headers(scope)
        _check_framing(headers)
        exchange.announce(headers)
        exchange.allow(PAGE_BODY_BYTES)
        await self.pages(scope, exchange.receive, exchange.send)


async def _caller(scope: Scope, headers: dict[str, str], route: Route) -> Caller:
    view = route.view_class
    if view.upload_id_in_query and (upload_ids := _taken_from_query(scope, "upload_id")):
        return await _caller_of_upload(scope, headers, upload_ids)
    may_be_a_person = view.allows_session and scope["path"].startswith(view.session_prefix)
    if may_be_a_person and not any(name in headers for name in KEY_HEADERS) and "cookie" in headers:
        request = ApiRequest(scope, _nothing)
        if has_session(request):
            return await caller_of_session(request)
    return await authenticate(headers)


def _take_key_from_query(scope: Scope, headers: dict[str, str]) -> None:
    """Moves `?key=` into the header of the same meaning."""
    keys = _taken_from_query(scope, "key")
    if len(keys) > 1:
        raise InvalidRequest("The key was sent more than once.")
    if keys and not any(name in headers for name in KEY_HEADERS):
        headers["x-goog-api-key"] = keys[0]


async def _caller_of_upload(scope: Scope, headers: dict[str, str], upload_ids: list[str]) -> Caller:
    """Whoever has an upload's address acts for the key that began it; a key beside it must fit it."""
    if len(upload_ids) > 1:
        raise InvalidRequest("The upload_id was sent more than once.", param="upload_id")
    beside = await authenticate(headers) if any(name in headers for name in KEY_HEADERS) else None
    place = await upload_addresses.find(upload_ids[0], beside)
    scope["portico.upload"] = place.digest
    return place.caller


def _taken_from_query(scope: Scope, wanted: str) -> list[str]:
    """The values of a secret in the query, which nobody further in sees or logs."""
    if f"{wanted}=".encode() not in scope["query_string"]:
        return []
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    scope["query_string"] = urlencode([(name, value) for name, value in pairs if name != wanted]).encode()
    return [value for name, value in pairs if name == wanted and value]


async def _nothing() -> Message:
    raise AssertionError("nobody reads a body before its caller is known")


def _headers(scope: Scope) -> dict[str, str]:
    """Names in lower case. Raises InvalidRequest where two readers could see two different requests."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name in headers:
            if name in ONCE:
                raise InvalidRequest(f"The header {name} was sent more than once.")
            headers[name] = f"{headers[name]}{'; ' if name == 'cookie' else ','}{value}"
        elif "_" not in name:
            headers[name] = value
    return headers


def _check_framing(headers: dict[str, str]) -> None:
    if headers.get("content-encoding", "identity").lower() not in {"identity", ""}:
        raise UnsupportedMedia("Compressed request bodies are not accepted; send the body as it is.")


def _body_limit(method: str, route: Route) -> int:
    if method not in METHODS_WITH_BODY:
        return SMALL_BODY_BYTES
    limit: int = getattr(settings, route.view_class.body_limit)
    return limit + UPLOAD_OVERHEAD_BYTES if route.view_class.streams_body else limit


def _is_lost_program(scope: Scope) -> bool:
    """Asks a program, which no page can help, for a path that nobody answers?"""
    path: str = scope["path"]
    return (
        any(
            name in PROGRAMS_KEYS or (name == b"authorization" and value[:7].lower() == b"bearer ")
            for name, value in scope["headers"]
        )
        and not path.startswith(settings.STATIC_URL)
        and not is_page(path)
    )


def _is_for_the_page(scope: Scope, headers: dict[str, str]) -> bool:
    """A browser that typed a page's address without its last slash."""
    return (
        scope["method"] in {"GET", "HEAD"}
        and "text/html" in headers.get("accept", "")
        and not scope["path"].startswith("/v1/")
        and not any(name in headers for name in KEY_HEADERS)
        and is_page(f"{scope['path']}/")
    )


async def _send_to_page(scope: Scope, exchange: Exchange) -> None:
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    place = quote(f"{scope['path']}/").encode() + query
    headers = [(b"location", place), (b"content-length", b"0")]
    await exchange.send({"type": "http.response.start", "status": 302, "headers": headers})
    await exchange.send({"type": "http.response.body"})


async def _refuse(exchange: Exchange, error: PorticoError) -> None:
    status, headers, body = error_answer(error)
    await exchange.send({"type": "http.response.start", "status": status, "headers": headers})
    await exchange.send({"type": "http.response.body", "body": body})
