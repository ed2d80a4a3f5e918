"""metrics.jsonl: one JSON object a line, cut back on resume to the step that the checkpoint holds."""

import json
from pathlib import Path
from typing import Any

from metajax.files import write_text

NAME = "metrics.jsonl"


class RunLog:
    """Append-only log of a run. A line is {"step": ..., name: number, ...}."""

    def __init__(self, folder: Path, *, keep_up_to: int | None = None, writes: bool = True) -> None:
        """Open the log in `folder`; keep lines up to a step (all of them dropped if None), or write nothing at all."""
        self.path = folder / NAME
        self._writes = writes
        if not writes:
            return
        kept = [] if keep_up_to is None else [line for line in read_log(folder) if line["step"] <= keep_up_to]
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))

    def write(self, line: dict[str, Any]) -> None:
        """Append one line and flush it."""
        if not self._writes:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the log's lines; a last line that a killed process left unfinished is passed over."""
    path = folder / NAME
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
