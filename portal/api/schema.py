"""Shapes of requests and answers, as the published schema shows them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

Schema = dict[str, Any]


def shape(required: str = "", **properties: Schema) -> Schema:
    """An object; `required` names properties, separated by spaces."""
    return {"type": "object", "properties": properties} | ({"required": required.split()} if required else {})


def text(description: str = "", **facts: Any) -> Schema:
    return {"type": "string"} | ({"description": description} if description else {}) | facts


def number(description: str = "", **facts: Any) -> Schema:
    return {"type": "integer"} | ({"description": description} if description else {}) | facts


ERROR = shape(
    "error",
    error=shape(
        "message type param code",
        message=text("One sentence for people."),
        type=text(),
        param=text("The parameter at fault.", nullable=True),
        code=text("A stable word for programs."),
    ),
)
FILE = shape(
    "id object bytes created_at filename purpose status",
    id=text("Works with every model your team may use."),
    object=text(enum=["file"]),
    bytes=number(),
    created_at=number("Unix seconds."),
    expires_at=number("Unix seconds.", nullable=True),
    filename=text(),
    purpose=text(),
    status=text(),
)
FILE_LIST = shape(
    "object data has_more",
    object=text(enum=["list"]),
    data={"type": "array", "items": FILE},
    first_id=text(nullable=True),
    last_id=text(nullable=True),
    has_more={"type": "boolean"},
)
FILE_DELETED = shape("id object deleted", id=text(), object=text(enum=["file"]), deleted={"type": "boolean"})
FILE_DELETION = shape(
    "id object status requested_at stored_bytes copies",
    id=text(),
    object=text(enum=["file.deletion"]),
    status=text(enum=["in_progress", "finished"]),
    sha256=text("Of the content that was deleted."),
    bytes=number(),
    requested_at=number("Unix seconds."),
    finished_at=number("Unix seconds; from then on nothing is left anywhere.", nullable=True),
    stored_bytes=text(
        "Shared: another file of the team has the same content.", enum=["waiting", "removed", "shared"]
    ),
    copies={
        "type": "array",
        "items": shape(provider=text(), provider_file_id=text(), removed_at=text("ISO 8601.")),
    },
)
FILE_SHARE = shape(
    "team_id object", team_id=text(), object=text(enum=["file.share"]), team=text(), created_at=number()
)
FILE_SHARES = shape("object data", object=text(enum=["list"]), data={"type": "array", "items": FILE_SHARE})
FILE_SHARE_CREATE = shape("team_id", team_id=text("The team that may see and use the file."))
FILE_UPLOAD = shape(
    "file purpose",
    file={"type": "string", "format": "binary"},
    purpose=text(
        "What the file is for.", enum=["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
    ),
    target_model_names=text("Models that get their copy at once: a comma list, a JSON list, or repeated."),
    model=text("The same for a single model."),
    target_storage=text("Where the bytes live; the operator's choice when it is left out."),
    custom_llm_provider=text("A provider whose account gets its copy at once."),
    **{
        "expires_after[anchor]": text(enum=["created_at"]),
        "expires_after[seconds]": number(minimum=3600, maximum=2592000),
    },
)
UPLOAD = shape(
    "id object bytes created_at expires_at filename purpose status",
    id=text(),
    object=text(enum=["upload"]),
    bytes=number("Size of the whole file."),
    created_at=number("Unix seconds."),
    expires_at=number("Unix seconds; until then parts may come."),
    filename=text(),
    purpose=text(),
    status=text(enum=["pending", "completed", "cancelled", "expired"]),
    file={**FILE, "nullable": True},
)
UPLOAD_CREATE = shape(
    "bytes filename mime_type purpose",
    bytes=number("Size of the whole file.", minimum=1),
    filename=text(),
    mime_type=text(),
    purpose=text(enum=["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]),
    target_model_names=text("Models that get their copy when the file is complete."),
    target_storage=text("Where the bytes live; the team's or the operator's choice when it is left out."),
    expires_after=shape("anchor seconds", anchor=text(enum=["created_at"]), seconds=number()),
)
UPLOAD_PART = shape(
    "id object created_at upload_id",
    id=text(),
    object=text(enum=["upload.part"]),
    created_at=number("Unix seconds."),
    upload_id=text(),
)
UPLOAD_PART_DATA = shape("data", data={"type": "string", "format": "binary"})
UPLOAD_COMPLETE = shape(
    "part_ids",
    part_ids={"type": "array", "items": text(), "description": "In the order of the file."},
    md5=text("Of the whole file, hex or base64."),
)
MODEL = shape(
    "id object created owned_by",
    id=text(),
    object=text(enum=["model"]),
    created=number("Unix seconds."),
    owned_by=text(),
)
MODEL_LIST = shape("object data", object=text(enum=["list"]), data={"type": "array", "items": MODEL})
HEALTH = shape("status", status=text(), checks={"type": "object", "additionalProperties": text()})

LIST_PARAMETERS = [
    OpenApiParameter("purpose", OpenApiTypes.STR, description="Only files of this purpose."),
    OpenApiParameter("limit", OpenApiTypes.INT, description="1 to 10000."),
    OpenApiParameter("order", OpenApiTypes.STR, enum=["asc", "desc"], description="By creation time."),
    OpenApiParameter("after", OpenApiTypes.STR, description="Id of the last file of the page before."),
]


def answers(schema: Schema) -> dict[str | int, Schema]:
    """What every endpoint answers: its own shape, or an error."""
    return {200: schema, "4XX": ERROR, "5XX": ERROR}
