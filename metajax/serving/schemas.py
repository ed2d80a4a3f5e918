"""What requests and answers look like. Requests are strict: no field too many, no text for a number."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

PRINTABLE = r"^[^\x00-\x1f\x7f]+(?!\n)$"
IN_A_PATH = r"^(?!\.{1,2}$|/+$)[^\x00-\x1f\x7f]+(?!\n)$"
"""Also neither `.` nor `..` nor slashes alone, which no path can name."""
UserId = Annotated[str, Meta(min_length=1, max_length=128, pattern=IN_A_PATH, description="The client's own id.")]
ItemId = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE, description="The data's own id.")]
EventId = Annotated[
    str,
    Meta(
        min_length=1, max_length=100, pattern=PRINTABLE, description="Unique among a user's; sent twice, stored once."
    ),
]
Feature = str | int | float | bool | None | list[str]


class Request(Struct, forbid_unknown_fields=True, kw_only=True):
    """A list for a known user, or for somebody whose ratings are given."""

    user: UserId | None = None
    ratings: Annotated[dict[ItemId, float], Meta(max_length=2000)] | None = None
    features: Annotated[dict[Annotated[str, Meta(max_length=100)], Feature], Meta(max_length=100)] | None = None
    n: Annotated[int, Meta(ge=1, le=100)] = 10
    exclude_seen: bool = True
    exclude: Annotated[list[ItemId], Meta(max_length=5000)] = []
    candidates: Annotated[list[ItemId], Meta(max_length=5000)] | None = None
    explain: bool = False
    min_ratings: Annotated[int, Meta(ge=0, le=1_000_000)] = 1


class Reason(Struct):
    """How much one of the user's ratings moved the score."""

    item: str
    title: str | None
    rating: float
    effect: float


class Item(Struct):
    """One recommended item: the predicted rating, and its standard deviation where the method has one.

    Of a model that only ranks the score is on no scale: a higher one comes first.
    """

    item: str
    title: str | None
    score: float
    uncertainty: float | None
    why: list[Reason] | UnsetType = UNSET


class Unknown(Struct):
    """A rating that was not used, and why."""

    item: str
    code: str
    message: str


class Recommendations(Struct):
    """The best first."""

    request_id: str
    model: str
    arm: str
    user_known: bool
    items: list[Item]
    unknown_items: list[str]
    ignored: list[Unknown]


class ErrorBody(Struct):
    """What was wrong, for programs (`code`) and for people (`message`)."""

    code: str
    message: str
    request_id: str


class Error(Struct):
    """The answer to a request that was refused."""

    error: ErrorBody


class Batch(Struct, forbid_unknown_fields=True):
    """Requests that are answered one by one: an error of one is no error of another."""

    requests: Annotated[list[Request], Meta(min_length=1, max_length=100)]


class BatchResult(Struct):
    """The answer to one request of a batch: `ok` or `error`."""

    ok: Recommendations | UnsetType = UNSET
    error: ErrorBody | UnsetType = UNSET


class BatchResults(Struct):
    """In the order of the requests."""

    results: list[BatchResult]


class FeedbackEvent(Struct, forbid_unknown_fields=True, kw_only=True):
    """A rating; null withdraws the user's rating of the item."""

    id: EventId | None = None
    user: UserId
    item: ItemId
    rating: float | None
    time: Annotated[float, Meta(ge=0, description="Seconds since 1970; now by default.")] | None = None


class Feedback(Struct, forbid_unknown_fields=True, kw_only=True):
    """Events, or the fields of one."""

    events: Annotated[list[FeedbackEvent], Meta(min_length=1, max_length=1000)] | UnsetType = UNSET
    id: EventId | UnsetType | None = UNSET
    user: UserId | UnsetType = UNSET
    item: ItemId | UnsetType = UNSET
    rating: float | UnsetType | None = UNSET
    time: Annotated[float, Meta(ge=0)] | UnsetType | None = UNSET


class FeedbackProblem(Struct):
    """Why an event was not stored."""

    code: str
    message: str


class FeedbackResult(Struct):
    """Stored: whether it is in the store now, for good; `duplicate` if an event of its id was there before."""

    id: str
    stored: bool
    duplicate: bool = False
    error: FeedbackProblem | UnsetType = UNSET


class FeedbackResults(Struct):
    """In the order of the events."""

    results: list[FeedbackResult]


class StoredEvent(Struct):
    """An event as it is stored."""

    id: str
    item: str
    title: str | None
    rating: float | None
    time: float


class User(Struct):
    """All that is kept about a user. `state_revision`: how many events the stored state knows, null without a state."""

    user: str
    ratings: dict[str, float]
    events: list[StoredEvent]
    model: str
    state_revision: int | None


class Erased(Struct):
    """How many events were deleted."""

    user: str
    events: int


class CatalogueItem(Struct):
    """An item; `score` says how well it matches, how alike it is, or what a question is worth."""

    item: str
    title: str | None
    num_ratings: int
    score: float | UnsetType = UNSET


class CatalogueItems(Struct):
    """The best match first."""

    model: str
    items: list[CatalogueItem]


class Session(Struct):
    """The anonymous user that the cookie is bound to, the scale of ratings, and whether scores are ratings too."""

    user: str
    model: str
    lowest: float
    highest: float
    levels: list[float]
    predicts_ratings: bool


class LoadRequest(Struct, forbid_unknown_fields=True):
    """A folder on the service's machine."""

    path: Annotated[str, Meta(min_length=1, max_length=1000, pattern=PRINTABLE)]


class VersionRequest(Struct, forbid_unknown_fields=True):
    """A version that is loaded."""

    version: Annotated[str, Meta(min_length=1, max_length=100)]


class ShadowRequest(Struct, forbid_unknown_fields=True):
    """A version that runs beside and is compared, or null for none."""

    version: Annotated[str, Meta(min_length=1, max_length=100)] | None


class SplitRequest(Struct, forbid_unknown_fields=True):
    """A version that the given share of users is answered by."""

    version: Annotated[str, Meta(min_length=1, max_length=100)] | None
    share: Annotated[float, Meta(ge=0, le=1)] = 0.0


class ModelInfo(Struct):
    """A version that is held."""

    version: str
    path: str | None
    items: int
    roles: list[str]
    training: dict[str, Any]


class Models(Struct):
    """The versions that are held, and the last attempt to load one."""

    models: list[ModelInfo]
    share: float
    loading: str | None
    last_error: str | None
