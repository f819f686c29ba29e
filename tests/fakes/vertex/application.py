"""Google Cloud's fake as one aiohttp application: aiplatform, storage, oauth2 and sts share its port."""

from __future__ import annotations

from aiohttp import web

from tests.fakes.control import PREFIX, Handler, application
from tests.fakes.gemini import errors
from tests.fakes.vertex import caches, embeddings, generate, oauth, storage
from tests.fakes.vertex.state import VertexFake

VERSION = "/{version:v1|v1beta1}"
PLACE = "/projects/{project:[a-z0-9-]+}/locations/{location:[a-z0-9-]+}"
MODEL = "/publishers/google/models/{model:[^/:]+}"
GENERATING = ":{method:generateContent|streamGenerateContent}"
OBJECTS = "/storage/v1/b/{bucket}/o"


@web.middleware
async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors in Google's envelope; Cloud Storage has an older one."""
    try:
        return await handler(request)
    except errors.GeminiError as error:
        if "/storage/v1/" in request.path and not request.path.startswith(PREFIX):
            return web.json_response(storage.envelope(error), status=error.code)
        return errors.respond(error)
    except web.HTTPRequestEntityTooLarge:
        return errors.respond(errors.GeminiError(413, "Request Entity Too Large"))
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        page = "<!DOCTYPE html><html lang=en><title>Error 404 (Not Found)!!1</title>"
        return web.Response(status=404, text=page, content_type="text/html")


def vertex_application() -> web.Application:
    routes = [
        web.get(PREFIX + "service_account", oauth.service_account),
        web.post("/token", oauth.token),
        web.post("/v1/token", oauth.exchange),
        web.post("/v1/projects/-/serviceAccounts/{email}:generateAccessToken", oauth.impersonate),
        *(route for place in (VERSION + PLACE + MODEL, VERSION + MODEL) for route in _of_model(place)),
        web.get(VERSION + "/publishers/google/models", generate.list_models),
        web.post(VERSION + PLACE + "/cachedContents", caches.create_cache),
        web.delete(VERSION + PLACE + "/cachedContents/{cache_id}", caches.delete_cache),
        web.route("*", "/upload" + OBJECTS, _upload),
        web.get("/storage/v1/b/{bucket}", storage.get_bucket),
        web.get(OBJECTS, storage.list_objects),
        web.get(OBJECTS + "/{name}", storage.get_object),
        web.get("/download" + OBJECTS + "/{name}", storage.get_object),
        web.delete(OBJECTS + "/{name}", storage.delete_object),
    ]
    return application(VertexFake(), routes, [refuse])


def _of_model(path: str) -> list[web.RouteDef]:
    return [
        web.post(path + GENERATING, generate.generate),
        web.post(path + ":{method:countTokens}", generate.count_tokens),
        web.post(path + ":predict", embeddings.predict),
        web.post(path + ":embedContent", embeddings.embed_content),
    ]


async def _upload(request: web.Request) -> web.StreamResponse:
    if request.method == "DELETE":
        return await storage.cancel(request)
    return await storage.upload(request)
