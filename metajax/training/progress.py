"""The progress bar of meta-training: loss, validation value, tasks a second and time left."""

from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingProgress:
    """A rich progress bar; silent if `show` is False."""

    def __init__(self, total: int, show: bool, label: str = "training") -> None:
        """Prepare a bar of `total` outer steps; `label` stands before it."""
        self._progress = Progress(
            TextColumn(label),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            disable=not show,
        )
        self._task = self._progress.add_task(label, total=total, state="compiling...")

    def update(self, line: dict[str, float]) -> None:
        """Show a line of the log."""
        shown = [f"loss {line['loss']:.4f}"]
        if "validation" in line:
            shown.append(f"validation {line['validation']:.4f}")
        shown.append(f"{line['tasks_per_second']:,.0f} tasks/s")
        self._progress.update(self._task, completed=line["step"], state="  ".join(shown))

    def __enter__(self) -> "TrainingProgress":
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing."""
        self._progress.stop()
