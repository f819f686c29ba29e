"""Views that the tests of the two doors look through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import path
from rest_framework.response import Response

from portal.rest.answers import Stream, event_stream, json_answer
from portal.rest.request import ApiRequest
from portal.rest.views import ANY_CALLER, PUBLIC, AsyncAPIView
from portal.urls import urlpatterns as product
from providers.errors import UpstreamInvalid


class Probe(AsyncAPIView):
    permission = ANY_CALLER
    happened: ClassVar[list[str]] = []


class Echo(Probe):
    async def post(self, request: ApiRequest) -> HttpResponseBase:
        return json_answer({"body": len(request.body), "team": request.caller.team_name})


class Sums(Probe):
    """Reads its body itself."""

    streams_body = True

    async def post(self, request: ApiRequest) -> HttpResponseBase:
        total = 0
        async for piece in request.chunks():
            total += len(piece)
        return json_answer({"body": total})


class Waits(Probe):
    """Never answers."""

    async def post(self, request: ApiRequest) -> HttpResponseBase:
        self.happened.append("waiting")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.happened.append("cancelled")
            raise
        raise AssertionError("the event is never set")


class Trickles(Probe):
    """Sends events until the client leaves."""

    async def get(self, request: ApiRequest) -> HttpResponseBase:
        return event_stream(self._events())

    async def _events(self) -> AsyncIterator[bytes]:
        try:
            yield b"data: 1\n\n"
            self.happened.append("sent")
            await asyncio.Event().wait()
        finally:
            self.happened.append("closed")


class Breaks(Probe):
    """Fails in the middle of its stream."""

    async def get(self, request: ApiRequest) -> HttpResponseBase:
        error: Exception = UpstreamInvalid("no") if "expected" in request.GET else ValueError("unexpected")
        return event_stream(self._events(error))

    async def _events(self, error: Exception) -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        yield b'data: {"error": {}}\n\n'
        raise error


class Floods(Probe):
    """Sends as much as the client takes."""

    async def get(self, request: ApiRequest) -> HttpResponseBase:
        return Stream(self._pieces(), "application/octet-stream")

    async def _pieces(self) -> AsyncIterator[bytes]:
        try:
            while True:
                self.happened.append("piece")
                yield b"x" * 65536
        finally:
            self.happened.append("closed")


class Fails(Probe):
    async def get(self, request: ApiRequest) -> HttpResponseBase:
        if "database" in request.GET:
            raise OperationalError("could not connect to 10.0.0.5: password sk-leak")
        raise RuntimeError("secret sk-leak in /srv/path")


class Rendered(Probe):
    """Answers with DRF's own response."""

    permission = PUBLIC

    async def get(self, request: ApiRequest) -> HttpResponseBase:
        return Response({"rendered": True}, status=202)


class OwnersOnly(Probe):
    permission = "settings.change"

    async def get(self, request: ApiRequest) -> HttpResponseBase:
        return json_answer({})


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"a page of {len(request.body)} bytes")


urlpatterns = [
    path("v1/echo", Echo.as_view()),
    path("v1/sums", Sums.as_view()),
    path("v1/waits", Waits.as_view()),
    path("v1/trickles", Trickles.as_view()),
    path("v1/breaks", Breaks.as_view()),
    path("v1/floods", Floods.as_view()),
    path("v1/fails", Fails.as_view()),
    path("v1/rendered", Rendered.as_view()),
    path("v1/owners", OwnersOnly.as_view()),
    path("files/", page),
    path("page/", page),
    *product,
]
