"""The Open Inference Protocol, version 2, of KServe: adapt and score as tensors.

References:
    https://github.com/kserve/open-inference-protocol
"""

from importlib.metadata import version as version_of
from typing import Annotated, Any, Literal

from litestar import Request, get, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from metajax.serving import schemas
from metajax.serving.dependencies import TheService
from metajax.serving.http import request_id
from metajax.serving.problems import invalid
from metajax.serving.routes_health import check_ready
from metajax.serving.routes_recommend import answer
from metajax.serving.schemas import ItemId

MODEL = "metajax"
Datatype = Literal["BYTES", "FP32", "FP64", "INT32", "INT64"]
Data = Annotated[list[Any], Meta(max_length=5000)]
Parameters = dict[str, str | int | float | bool]


class Tensor(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A tensor of one dimension."""

    name: str
    shape: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=1, max_length=1)]
    datatype: Datatype
    data: Data
    parameters: Parameters = {}


class Output(Struct, forbid_unknown_fields=True):
    """An output that is asked for; all are given."""

    name: str
    parameters: Parameters = {}


class InferenceRequest(Struct, forbid_unknown_fields=True):
    """Inputs items (BYTES) and ratings (FP32) of one person, and perhaps candidates (BYTES); parameter n."""

    inputs: Annotated[list[Tensor], Meta(min_length=2, max_length=3)]
    id: Annotated[str, Meta(max_length=100)] | None = None
    parameters: Parameters = {}
    outputs: Annotated[list[Output], Meta(max_length=10)] = []


class InferenceResponse(Struct):
    """Outputs items, scores and, where the method has them, uncertainties: the best first."""

    model_name: str
    model_version: str
    id: str
    outputs: list[Tensor]


class TensorInfo(Struct):
    """What a tensor is like."""

    name: str
    datatype: Datatype
    shape: list[int]


class Metadata(Struct):
    """What the model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]


class ServerMetadata(Struct):
    """What answers; of the protocol's extensions it has none."""

    name: str
    version: str
    extensions: list[str]


class Truth(Struct):
    """An answer to a question of health."""

    live: bool = True


class Readiness(Struct):
    """An answer to a question of readiness."""

    ready: bool = True


@get("/v2/health/live", summary="KServe: alive")
async def live() -> Truth:
    """Answer while the process answers at all."""
    return Truth()


@get(["/v2/health/ready", f"/v2/models/{MODEL}/ready"], summary="KServe: ready")
async def ready(service: TheService) -> Readiness:
    """Answer 200 once requests are answered."""
    await check_ready(service)
    return Readiness()


@get("/v2", summary="KServe: server")
async def server_metadata() -> ServerMetadata:
    """Describe the server."""
    return ServerMetadata("metajax", version_of("metajax"), [])


@get(f"/v2/models/{MODEL}", summary="KServe: metadata")
async def metadata(service: TheService) -> Metadata:
    """Describe the tensors."""
    return Metadata(
        name=MODEL,
        versions=[service.versions.active.name],
        platform="jax",
        inputs=[
            TensorInfo("items", "BYTES", [-1]),
            TensorInfo("ratings", "FP32", [-1]),
            TensorInfo("candidates", "BYTES", [-1]),
        ],
        outputs=[
            TensorInfo("items", "BYTES", [-1]),
            TensorInfo("scores", "FP32", [-1]),
            TensorInfo("uncertainties", "FP32", [-1]),
        ],
    )


@post(f"/v2/models/{MODEL}/infer", status_code=200, opt={"scope": "recommend"}, summary="KServe: adapt and score")
async def infer(
    data: JSONBody[InferenceRequest], request: Request[Any, Any, Any], service: TheService
) -> InferenceResponse:
    """Adapt to ratings and rank, for clients of the protocol."""
    found = await answer(service, _request(data), request, request_id(request))
    count = [len(found.items)]
    outputs = [
        Tensor("items", count, "BYTES", [one.item for one in found.items]),
        Tensor("scores", count, "FP32", [one.score for one in found.items]),
    ]
    if found.items and found.items[0].uncertainty is not None:
        outputs.append(Tensor("uncertainties", count, "FP32", [one.uncertainty for one in found.items]))
    return InferenceResponse(MODEL, found.model, data.id or found.request_id, outputs)


def _request(data: InferenceRequest) -> schemas.Request:
    """Read the tensors."""
    tensors = {one.name: one for one in data.inputs}
    if not {"items", "ratings"} <= tensors.keys() <= {"items", "ratings", "candidates"}:
        raise invalid(f"The inputs are items, ratings and perhaps candidates, got {', '.join(sorted(tensors))}.")
    items, ratings = _texts(tensors["items"]), _numbers(tensors["ratings"])
    if len(items) != len(ratings):
        raise invalid(f"There are {len(items)} items but {len(ratings)} ratings.")
    if len(set(items)) != len(items):
        raise invalid("An item is rated twice. Keep one of its ratings.")
    candidates = _texts(tensors["candidates"]) if "candidates" in tensors else None
    n = data.parameters.get("n", 10)
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= 100:
        raise invalid(f"The parameter n is a whole number from 1 to 100, got {n!r}.")
    return schemas.Request(ratings=dict(zip(items, ratings, strict=True)), candidates=candidates, n=n)


def _texts(tensor: Tensor) -> list[ItemId]:
    texts = [one for one in tensor.data if isinstance(one, str) and 0 < len(one) <= 200]
    if tensor.datatype != "BYTES" or tensor.shape != [len(texts)] or len(texts) != len(tensor.data):
        raise invalid(f"The tensor {tensor.name} has datatype BYTES, texts as data, and their number as its shape.")
    return texts


def _numbers(tensor: Tensor) -> list[float]:
    try:
        numbers = [float(one) for one in tensor.data if isinstance(one, int | float) and not isinstance(one, bool)]
    except OverflowError as error:
        raise invalid(f"The tensor {tensor.name} has a number that is larger than any of 64 bits.") from error
    if tensor.datatype == "BYTES" or tensor.shape != [len(numbers)] or len(numbers) != len(tensor.data):
        raise invalid(f"The tensor {tensor.name} has numbers as data, their datatype, and their number as its shape.")
    return numbers
