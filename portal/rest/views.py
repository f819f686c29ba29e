"""The base of every API view: coroutine handlers, DRF's schema, and a dispatch that costs almost nothing."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.response import Response
from rest_framework.views import APIView

from portal.rest.authentication import KeyAuthentication
from portal.rest.request import ApiRequest
from portal.services import policy
from portal.services.access import Caller
from providers.errors import Forbidden, MethodNotAllowed

PUBLIC = "public"
"""Permission of views that need no key."""
ANY_CALLER = "any caller"
"""Permission of views for whoever has a valid key."""


class AsyncAPIView(APIView):
    """Handlers are coroutines that take an ApiRequest and the route's words, and return a Django response.

    Failures are raised as providers.errors classes; the ingress guard, which also checked key, sizes and verb
    before the body was read, turns them into answers. The caller is `request.caller`.
    """

    permission: ClassVar[str]
    """PUBLIC, ANY_CALLER or an action of portal.services.policy. Mandatory."""
    permissions_by_method: ClassVar[dict[str, str]] = {}
    """Lower-case verb → permission, where verbs differ."""
    streams_body: ClassVar[bool] = False
    """The view reads `request.chunks()` itself instead of finding the body in memory."""
    body_limit: ClassVar[str] = "MAX_BODY_BYTES"
    """The setting that bounds the body's size."""
    allows_session: ClassVar[bool] = False
    """Signed-in browsers may call it without a key."""
    session_prefix: ClassVar[str] = "/v1/"
    """Where they may: the same view may stand at an address that browsers open as a page."""
    key_in_query: ClassVar[bool] = False
    """The key may also stand in `?key=`. It is taken out of the address at once."""
    upload_id_in_query: ClassVar[bool] = False
    """`?upload_id=` of an upload's address may stand for the key. It is taken out of the address at once."""

    authentication_classes = (KeyAuthentication,)
    http_method_names = ["get", "post", "put", "patch", "delete", "head", "options"]
    request: ApiRequest  # type: ignore[assignment]  # never wrapped into DRF's Request

    @classmethod
    def permission_for(cls, method: str) -> str:
        return cls.permissions_by_method.get(method.lower(), cls.permission)

    @classmethod
    def methods(cls) -> list[str]:
        """The verbs it answers, upper-case."""
        found = [name.upper() for name in cls.http_method_names if hasattr(cls, name)]
        return [*found, "HEAD"] if "GET" in found and "HEAD" not in found else found

    async def dispatch(  # type: ignore[override]  # a coroutine, where DRF has a function
        self, request: ApiRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """Checks the permission and calls the handler. Failures go up to the ingress guard."""
        method = (request.method or "").lower()
        handler = getattr(self, method, None) if method in self.http_method_names else None
        if handler is None:
            raise MethodNotAllowed(f"{request.method} is not possible here.")
        permission = self.permission_for(method)
        if permission != PUBLIC and method != "options":
            caller = request.caller
            if permission != ANY_CALLER:
                require(caller, permission)
        response: HttpResponseBase = await handler(request, *args, **kwargs)
        return _rendered(self, response) if isinstance(response, Response) else response

    async def options(  # type: ignore[override]  # a coroutine, where DRF has a function
        self, request: ApiRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        return HttpResponse(status=204, headers={"Allow": ", ".join(self.methods())})


def require(caller: Caller, action: str, obj: Any = None) -> None:
    """Raises Forbidden unless the caller may do it, to the object given."""
    if not policy.can(caller, action, obj):
        raise Forbidden("Whoever holds this key or session may not do that.")


def _rendered(view: AsyncAPIView, response: Response) -> Response:
    renderer = view.renderer_classes[0]()
    response.accepted_renderer = renderer
    response.accepted_media_type = renderer.media_type
    response.renderer_context = {"view": view}  # type: ignore[attr-defined]  # DRF sets it just so
    response.render()
    return response
