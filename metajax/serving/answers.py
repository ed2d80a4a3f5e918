"""Which errors a route may answer with, for the description of the API."""

from litestar.openapi.datastructures import ResponseSpec

from metajax.serving.schemas import Error

_ERRORS = {
    400: "the request makes no sense",
    401: "no key, or a wrong one",
    403: "the key is not for this",
    413: "the body is too large",
    429: "too many requests; the header Retry-After says when to try again",
    503: "not ready, or the store of users is gone",
    504: "no answer in time",
}
ERRORS = {status: ResponseSpec(Error, generate_examples=False, description=about) for status, about in _ERRORS.items()}
NOT_FOUND = {404: ResponseSpec(Error, generate_examples=False, description="no such thing")}
