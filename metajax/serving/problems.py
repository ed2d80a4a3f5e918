"""Errors that a request is answered with."""

from metajax.errors import MetajaxError


class Problem(MetajaxError):
    """A request that is refused.

    Attributes:
        status: of HTTP.
        code: a word that programs can act on.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def invalid(message: str) -> Problem:
    """Return the answer to a request that makes no sense."""
    return Problem(400, "invalid", message)


def too_busy() -> Problem:
    """Return the answer to a request beyond what the service works on at once."""
    return Problem(429, "too_busy", "The service has as many requests as it works on at once. Try again in a second.")


def too_late(seconds: float) -> Problem:
    """Return the answer to a request whose time is over."""
    return Problem(504, "deadline", f"There was no answer within {seconds:g} s.")


def not_ready() -> Problem:
    """Return the answer while a model is being loaded, or the service is ending."""
    return Problem(503, "not_ready", "The service is starting or ending. Ask /health/ready.")
