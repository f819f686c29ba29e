"""The Gemini fake as one aiohttp application, under /v1, /v1beta and /v1alpha."""

from __future__ import annotations

from aiohttp import web

from tests.fakes.control import Handler, application
from tests.fakes.gemini import caches, embeddings, errors, files, generate, models, uploads
from tests.fakes.gemini.state import GeminiFake

VERSION = "/{version:v1|v1beta|v1alpha}"
GENERATING = "{method:generateContent|streamGenerateContent}"


@web.middleware
async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors in Google's envelope; in an array where a stream without alt=sse was asked for."""
    streams_array = request.path.endswith(":streamGenerateContent") and request.query.get("alt") != "sse"
    try:
        return await handler(request)
    except errors.GeminiError as error:
        return errors.respond(error, in_array=streams_array)
    except web.HTTPRequestEntityTooLarge:
        return errors.respond(errors.GeminiError(413, "Request Entity Too Large"))
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        # An unknown path gets a page, not an envelope.
        return web.Response(
            status=404, text="<title>Error 404 (Not Found)!!1</title>", content_type="text/html"
        )


def gemini_application() -> web.Application:
    model = VERSION + "/models/{model}"
    routes = [
        web.post("/upload" + VERSION + "/files", uploads.upload),
        web.put("/upload" + VERSION + "/files", uploads.upload),
        web.get(VERSION + "/files", files.list_files),
        web.get(VERSION + "/files/{file_id:[^/:]+}", files.get_file),
        web.delete(VERSION + "/files/{file_id:[^/:]+}", files.delete_file),
        web.get(VERSION + "/files/{file_id:[^/:]+}:download", files.download_file),
        web.get("/download" + VERSION + "/files/{file_id:[^/:]+}:download", files.download_file),
        web.get(VERSION + "/models", models.list_models),
        web.get(VERSION + "/models/{model:[^/:]+}", models.get_model),
        web.post(model + ":" + GENERATING, generate.generate),
        web.post(model + ":countTokens", generate.count_tokens),
        web.post(model + ":{method:embedContent}", embeddings.embed),
        web.post(model + ":{method:batchEmbedContents}", embeddings.embed_batch),
        web.post(VERSION + "/cachedContents", caches.create_cache),
        web.get(VERSION + "/cachedContents", caches.list_caches),
        web.get(VERSION + "/cachedContents/{cache_id}", caches.one_cache),
        web.patch(VERSION + "/cachedContents/{cache_id}", caches.one_cache),
        web.delete(VERSION + "/cachedContents/{cache_id}", caches.one_cache),
    ]
    return application(GeminiFake(), routes, [refuse])
