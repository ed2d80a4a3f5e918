"""Errors that a request is answered with."""

from metajax.errors import MetajaxError


class RequestError(MetajaxError):
    """A request that is refused.

    Attributes:
        status: of HTTP.
        code: a word that programs can act on.
        retry_after: seconds after which to try again, where that helps.
    """

    def __init__(self, status: int, code: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after


def invalid(message: str) -> RequestError:
    """Return the answer to a request that makes no sense."""
    return RequestError(400, "invalid", message)


def forbidden(message: str) -> RequestError:
    """Return the answer to somebody who may not."""
    return RequestError(403, "forbidden", message)


def too_busy() -> RequestError:
    """Return the answer to a request beyond what the service works on at once."""
    return RequestError(429, "too_busy", "The service has as many requests as it works on at once.", retry_after=1)


def too_late(seconds: float) -> RequestError:
    """Return the answer to a request whose time is over."""
    return RequestError(504, "deadline", f"There was no answer within {seconds:g} s.")


def not_ready() -> RequestError:
    """Return the answer before a model is compiled."""
    return RequestError(503, "not_ready", "The service is starting or ending. Ask /health/ready.", retry_after=1)
