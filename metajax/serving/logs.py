"""Logs as lines of JSON, without ids in clear and without bodies."""

import hmac
import json
import logging
import sys
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonLines(logging.Formatter):
    """A record as one line: time, level, logger, message and what was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_as_json(level: int = logging.INFO) -> None:
    """Write the log of this process to standard error, as lines of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("metajax").setLevel(level)


class UserHash:
    """Names users in logs without telling who they are."""

    def __init__(self, secret: bytes) -> None:
        """Hash with a secret: without it nobody can try names."""
        self._secret = secret

    def __call__(self, user: str) -> str:
        """Return twelve digits that are always the same for a user."""
        return hmac.digest(self._secret, user.encode(), "sha256").hex()[:12]
