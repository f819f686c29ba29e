"""Is the process alive, may it be sent traffic, what has it counted."""

from __future__ import annotations

import asyncio
import time

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema

from files.database import in_thread
from portal.api.schema import HEALTH, answers
from portal.rest import metrics
from portal.rest.answers import json_answer
from portal.rest.request import ApiRequest
from portal.rest.views import ANY_CALLER, PUBLIC, AsyncAPIView
from portal.services import catalog
from portal.services.limits import limiter

DATABASE_SECONDS = 3.0


class State:
    """What this process knows of its own readiness."""

    def __init__(self) -> None:
        self.is_draining = False
        self.is_migrated = False
        self.started_at = time.time()


state = State()


class Liveness(AsyncAPIView):
    """Answers as long as the process can."""

    permission = PUBLIC

    @extend_schema(
        operation_id="liveness", summary="Is it alive?", tags=["Health"], auth=[], responses=answers(HEALTH)
    )
    async def get(self, request: ApiRequest) -> HttpResponse:
        return json_answer({"status": "alive"})


class Readiness(AsyncAPIView):
    """200 when it may be sent traffic: database reachable, migrated, catalog loaded, not shutting down."""

    permission = PUBLIC

    @extend_schema(
        operation_id="readiness", summary="Is it ready?", tags=["Health"], auth=[], responses=answers(HEALTH)
    )
    async def get(self, request: ApiRequest) -> HttpResponse:
        found = await checks()
        is_ready = set(found.values()) == {"ok"}
        body = {"status": "ready" if is_ready else "not ready", "checks": found}
        return json_answer(body, status=200 if is_ready else 503)


class Health(AsyncAPIView):
    """The same checks, for callers: always 200, with what this process serves."""

    permission = ANY_CALLER

    @extend_schema(
        operation_id="health", summary="What is its state?", tags=["Health"], responses=answers(HEALTH)
    )
    async def get(self, request: ApiRequest) -> HttpResponse:
        found = await checks()
        return json_answer(
            {
                "status": "healthy" if set(found.values()) == {"ok"} else "unhealthy",
                "checks": found,
                "models": len(catalog.models_for(request.caller)),
                "limits": limiter.state,
                "uptime_seconds": round(time.time() - state.started_at),
            }
        )


class Metrics(AsyncAPIView):
    """Prometheus' text format. It names endpoints and statuses, never keys, teams or models."""

    permission = ANY_CALLER if settings.METRICS_NEED_KEY else PUBLIC

    @extend_schema(
        operation_id="metrics",
        summary="Prometheus metrics",
        tags=["Health"],
        auth=[],
        responses={(200, "text/plain"): OpenApiTypes.STR},
    )
    async def get(self, request: ApiRequest) -> HttpResponse:
        text = await asyncio.to_thread(metrics.exposition)
        return HttpResponse(text, content_type=metrics.CONTENT_TYPE)


async def checks() -> dict[str, str]:
    """What must hold for traffic to be welcome; each is `ok` or says what is wrong."""
    database = await _database()
    return {
        "database": database,
        "migrations": "ok" if state.is_migrated else "unknown" if database != "ok" else "missing",
        "catalog": "ok" if catalog.is_loaded() else "not loaded",
        "server": "shutting down" if state.is_draining else "ok",
    }


async def _database() -> str:
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            await in_thread(_ask_database)
    except (DatabaseError, TimeoutError):
        return "unreachable"
    return "ok"


def _ask_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    if not state.is_migrated:
        executor = MigrationExecutor(connection)
        state.is_migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not catalog.is_loaded():
        catalog.refresh()
