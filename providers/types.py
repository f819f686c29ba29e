"""Plain values that every provider speaks: connections, requests, flows, file references."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from providers.errors import PorticoError

T = TypeVar("T")
Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Connection:
    """One set of credentials at one provider, as a plain value. Secrets stay out of its repr.

    `options` holds what only one provider knows (vertex_project, vertex_location, gcs_bucket_name …);
    `secrets` holds its further credentials (vertex_credentials …).
    """

    provider: str
    api_key: str | None = field(default=None, repr=False)
    api_base: str | None = None
    api_version: str | None = None
    organization: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict, repr=False)
    account: str = ""
    """Stable name of the account, for caches and logs; never a secret."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds allowed for each phase of one HTTP exchange."""

    connect: float = 5.0
    first_byte: float = 600.0
    idle: float = 120.0
    total: float = 900.0


@dataclass(frozen=True, slots=True)
class SourceRange:
    """A stretch of the file being sent; the driver reads it from the file's source when it sends."""

    offset: int
    length: int


Body: TypeAlias = bytes | tuple[bytes | SourceRange, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, and when it ends in seconds since the epoch."""

    value: str = field(repr=False)
    expires_at: float


@dataclass(frozen=True, slots=True)
class TokenSource:
    """How access tokens for one set of credentials are obtained.

    `key` is the same for the same credentials, and no secret. `fetch` may block: it signs, reads files, asks
    a token endpoint by the function it is given. It runs in a thread of its own.
    """

    key: str
    fetch: Callable[[Callable[[HttpRequest], HttpResponse]], Token] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request to send. Headers carry credentials, so they stay out of its repr.

    With `bearer` the client adds the access token, and asks once more with a new one after a 401.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Body = field(default=b"", repr=False)
    timeouts: Timeouts = Timeouts()
    bearer: TokenSource | None = field(default=None, repr=False)

    @property
    def length(self) -> int:
        """Bytes of the body."""
        if isinstance(self.body, bytes):
            return len(self.body)
        return sum(len(part) if isinstance(part, bytes) else part.length for part in self.body)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole answer. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wait:
    """Asks the driver to sleep before the flow goes on."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State from which another worker can continue the flow. It may hold a secret upload address."""

    state: Mapping[str, Any] = field(repr=False)


Flow: TypeAlias = Generator[HttpRequest | Wait | Checkpoint, HttpResponse | None, T]
"""A protocol of several steps: yields what to do, receives the response (None after Wait and Checkpoint)."""


class ByteSource(Protocol):
    """Where a flow's driver reads the bytes of the file that is being sent."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        """Yields exactly `length` bytes from `offset`, in pieces of at most 1 MiB."""
        ...


@dataclass(frozen=True, slots=True)
class Upload:
    """What a provider is told of a file before it receives its bytes."""

    filename: str
    media_type: str
    size: int
    purpose: str = "user_data"
    reference: str = ""
    """Our file id, for display names at the provider, so that lost copies can be recognised."""


RemoteState: TypeAlias = Literal["processing", "active", "failed"]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as a provider describes it. `uri` is what goes into requests, `id` what the file verbs take."""

    id: str
    uri: str
    media_type: str
    size: int
    state: RemoteState
    filename: str = ""
    purpose: str = ""
    created_at: datetime | None = None
    expires_at: datetime | None = None
    sha256: str | None = None
    """Lower-case hex, where the provider tells it."""
    error: str | None = None
    reference: str = ""
    """Our file id (Upload.reference), where the provider's listing carries it."""


@dataclass(frozen=True, slots=True)
class ProviderFile:
    """A copy at the serving account."""

    id: str
    uri: str
    media_type: str
    filename: str


@dataclass(frozen=True, slots=True)
class InlineFile:
    """The bytes themselves; the provider folder decides between base64 and a text part."""

    data: bytes = field(repr=False)
    media_type: str
    filename: str


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """An address that the provider may fetch itself. It may be a bearer secret."""

    url: str = field(repr=False)
    media_type: str
    filename: str


FileRef: TypeAlias = ProviderFile | InlineFile | SignedUrl
"""How one request shows one file to one provider."""

Delivery: TypeAlias = Literal["copy", "inline", "text", "convert", "unsupported"]
"""How a provider takes a file of a type and size: by reference, as base64, as a text part, as text that is
made of it first (providers.office), not at all."""


@dataclass(frozen=True, slots=True)
class ChatCall:
    """One chat request on its way to one deployment.

    `body` is the caller's OpenAI request with the deployment's defaults merged in; `files` maps each
    reference exactly as it stands in the messages (a file id, a URL) to what this provider is shown.
    Translators append to `warnings` whatever they dropped or changed.
    """

    model: str
    public_model: str
    body: Mapping[str, Any]
    files: Mapping[str, FileRef] = field(default_factory=dict)
    drop_params: bool = False
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Field:
    """One input of a provider's account form in the browser."""

    name: str
    label: str
    secret: bool = False
    required: bool = False
    help: str = ""
    placeholder: str = ""


class ChunkReader(Protocol):
    """Turns one provider's event stream into OpenAI `chat.completion.chunk` dicts, piece by piece."""

    def feed(self, data: bytes) -> list[Json]:
        """Takes bytes as they arrive, cut anywhere; returns the chunks they complete."""
        ...

    def finish(self) -> list[Json]:
        """Ends the stream. Raises UpstreamInvalid when the provider stopped before its end."""
        ...

    @property
    def usage(self) -> Json | None:
        """OpenAI `usage` as last reported, also when the stream was cut."""
        ...


class FileVerbs(Protocol):
    """The file API of one provider, as flows. `file_id` is RemoteFile.id."""

    def create(
        self, connection: Connection, upload: Upload, resume: Mapping[str, Any] | None = None
    ) -> Flow[RemoteFile]: ...

    def retrieve(self, connection: Connection, file_id: str) -> Flow[RemoteFile]:
        """Raises UpstreamFileGone when the provider does not have it (any more)."""
        ...

    def delete(self, connection: Connection, file_id: str) -> Flow[None]:
        """A file that is already gone counts as deleted."""
        ...

    def list(
        self, connection: Connection, after: str | None = None, limit: int = 100, purpose: str | None = None
    ) -> Flow[tuple[list[RemoteFile], str | None]]:
        """One page and the cursor of the next."""
        ...

    def content(self, connection: Connection, file_id: str) -> Flow[bytes]:
        """Raises UnsupportedFile where the provider gives no bytes back."""
        ...


@dataclass(frozen=True, slots=True)
class Native:
    """A provider's own API of its models, for callers who speak it instead of OpenAI's."""

    to_request: Callable[[Connection, str, str, Json], HttpRequest]
    """(connection, the provider's model id, method, body) → the request; streams arrive as server-sent
    events. Whatever the body says of the model is replaced."""
    to_usage: Callable[[Json], Json | None]
    """One answer, or one event of a stream → OpenAI `usage`; None where it reports none."""


@dataclass(frozen=True, slots=True)
class CacheSplit:
    """A request whose beginning the provider may keep.

    `key` is the same for equal beginnings at one model; `content` goes into the cache, `rest` is what remains
    of the request; `seconds` is how long the caller wants it kept, None when the caller did not say.
    """

    key: str
    content: Json = field(repr=False)
    rest: Json = field(repr=False)
    seconds: int | None


@dataclass(frozen=True, slots=True)
class RemoteCache:
    """A cached beginning as the provider names it; `expires_at` in seconds since 1970."""

    name: str
    tokens: int
    expires_at: float


class ContextCaches(Protocol):
    """Beginnings of requests that a provider keeps for later ones."""

    def split(self, call: ChatCall) -> CacheSplit | None:
        """None when the call marks nothing, or nothing that can be cached; the reason is a warning."""
        ...

    def create(self, connection: Connection, call: ChatCall, split: CacheSplit) -> Flow[RemoteCache]: ...

    def to_chat(
        self, connection: Connection, call: ChatCall, split: CacheSplit, cache: RemoteCache
    ) -> HttpRequest:
        """The request that stands on the cache. An InvalidRequest with the param `cached_content` says that
        the provider no longer has it."""
        ...


@dataclass(frozen=True, slots=True)
class Provider:
    """One row of the registry: everything the rest of the house may ask of a provider."""

    name: str
    title: str
    fields: tuple[Field, ...]
    """Inputs of the account form. Names match Connection: api_key, api_base, api_version, organization;
    others go to options, or to secrets when `secret`."""
    prefixes: tuple[str, ...]
    """`litellm_params.model` prefixes without the slash."""
    delivery: Callable[[str, int], Delivery]
    """(media type, bytes) → how a chat shows such a file to this provider when nothing else decides."""
    takes_url: Callable[[str, str], bool]
    """(part type, url) → True when the provider fetches such an address itself."""
    to_chat: Callable[[Connection, ChatCall], HttpRequest]
    """Builds the request; streams when `call.body["stream"]` is true."""
    from_chat: Callable[[ChatCall, HttpResponse], Json]
    """A 2xx answer → OpenAI `chat.completion`. Raises UpstreamInvalid."""
    open_stream: Callable[[ChatCall], ChunkReader]
    from_error: Callable[[HttpResponse], PorticoError]
    """A non-2xx answer → the error to raise; never repeats secrets or upstream addresses."""
    list_models: Callable[[Connection], Flow[list[str]]]
    """The provider's own model ids, for the model form."""
    files: FileVerbs | None = None
    embed: Callable[[Connection, ChatCall], Flow[Json]] | None = None
    """OpenAI's list of embeddings for `call.body["input"]`; None where the provider has none."""
    count_tokens: Callable[[Connection, ChatCall], Flow[int]] | None = None
    """The provider's own count of what `to_chat` would send; None where only an estimate can be had."""
    recalls: Callable[[ChatCall], list[str]] | None = None
    """Keys of the signature store that `to_chat` will look up for this call."""
    native: Native | None = None
    caches: ContextCaches | None = None
    fetches: Callable[[str, str, int], bool] | None = None
    """(model id, media type, bytes) → True when a chat may show such a file by a signed https address."""
