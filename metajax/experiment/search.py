"""Search spaces: which choices of an experiment are tuned, and in which ranges.

An experiment file that can be tuned defines beside `experiment()`

    def search_space():
        return {"learner.penalty": LogUniform(0.5, 20.0), "model.factors": Choice((8, 16, 32))}
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol, get_type_hints, runtime_checkable

from metajax.errors import ConfigError
from metajax.experiment.experiment import Experiment, run_file

TUNABLE = ("model", "loss", "learner", "episodes", "optimizer", "training")
"""Parts that may be tuned. Data, split and evaluation decide what the validation value means, so they stay."""

HOW = """Write one beside experiment():

    from metajax.experiment.search import Choice, Integer, LogUniform, Uniform

    def search_space():
        return {
            "optimizer.learning_rate": LogUniform(1e-3, 3e-2),
            "model.factors": Choice((8, 16, 32)),
        }
"""


@runtime_checkable
class Range(Protocol):
    """What a choice may become; a frozen dataclass."""

    def suggest(self, trial: Any, name: str) -> Any:
        """Ask an optuna trial for a value called `name`."""
        ...

    def stored(self, value: Any) -> Any:
        """Return what the study keeps for a value; None if the value is not in the range."""
        ...


@dataclass(frozen=True)
class Uniform:
    """A number between two others, all alike."""

    low: float
    """Lowest value."""
    high: float
    """Highest value."""

    def __post_init__(self) -> None:
        """Check the ends."""
        _check_ends(self, self.low, self.high)

    def suggest(self, trial: Any, name: str) -> float:
        """Ask for a number."""
        return trial.suggest_float(name, self.low, self.high)

    def stored(self, value: Any) -> float | None:
        """Return the value, if it lies between the ends."""
        return value if isinstance(value, int | float) and self.low <= value <= self.high else None


@dataclass(frozen=True)
class LogUniform:
    """A positive number between two others, whose order of magnitude is unknown."""

    low: float
    """Lowest value; positive."""
    high: float
    """Highest value."""

    def __post_init__(self) -> None:
        """Check the ends."""
        _check_ends(self, self.low, self.high, positive=True)

    def suggest(self, trial: Any, name: str) -> float:
        """Ask for a number."""
        return trial.suggest_float(name, self.low, self.high, log=True)

    def stored(self, value: Any) -> float | None:
        """Return the value, if it lies between the ends."""
        return value if isinstance(value, int | float) and self.low <= value <= self.high else None


@dataclass(frozen=True)
class Integer:
    """A whole number between two others, both included."""

    low: int
    """Lowest value."""
    high: int
    """Highest value."""
    log: bool = False
    """The order of magnitude is unknown; `low` is then positive."""

    def __post_init__(self) -> None:
        """Check the ends."""
        if not (isinstance(self.low, int) and isinstance(self.high, int)):
            raise ConfigError(f"Integer goes between whole numbers, got {self.low} and {self.high}. Use Uniform.")
        _check_ends(self, self.low, self.high, positive=self.log)

    def suggest(self, trial: Any, name: str) -> int:
        """Ask for a whole number."""
        return trial.suggest_int(name, self.low, self.high, log=self.log)

    def stored(self, value: Any) -> int | None:
        """Return the value, if it lies between the ends."""
        return value if isinstance(value, int) and self.low <= value <= self.high else None


@dataclass(frozen=True)
class Choice:
    """One of some values: numbers, words, booleans, None or tuples of such."""

    values: tuple[Any, ...]
    """The values; two or more, each once."""

    def __post_init__(self) -> None:
        """Check the values."""
        if len(set(map(repr, self.values))) < max(2, len(self.values)):
            raise ConfigError(f"Choice wants a tuple of two or more different values, got {self.values}.")

    def suggest(self, trial: Any, name: str) -> Any:
        """Ask for a value; the study keeps its position, since it holds no tuples."""
        return self.values[trial.suggest_categorical(name, list(range(len(self.values))))]

    def stored(self, value: Any) -> int | None:
        """Return the position of the value."""
        return self.values.index(value) if value in self.values else None


def load_search_space(path: str | Path) -> dict[str, Range]:
    """Run an experiment file and return what its `search_space()` returns.

    Raises:
        ConfigError: if it defines none, or what that returns is no mapping of names to ranges.
    """
    function = getattr(run_file(path), "search_space", None)
    if not callable(function):
        raise ConfigError(f"{path} defines no function search_space(), so there is nothing to tune. {HOW}")
    space = function()
    if not isinstance(space, Mapping) or not space:
        raise ConfigError(f"search_space() of {path} returned {space!r}, wanted a mapping of names to ranges. {HOW}")
    for name, one in space.items():
        if not isinstance(one, Range) or isinstance(one, type):
            raise ConfigError(
                f"search_space() of {path} gives {name!r} the range {one!r}, "
                "wanted a Uniform, LogUniform, Integer or Choice."
            )
    return dict(space)


def check_space(space: Mapping[str, Range], experiment: Experiment) -> None:
    """Check that a space names choices that the experiment has, and gives whole numbers whole ranges.

    Raises:
        ConfigError: with the name that was meant, where one is near.
    """
    known = dict(leaves(experiment))
    tunable = [name for name in known if name.split(".")[0] in TUNABLE]
    for name, one in space.items():
        if name not in known:
            close = get_close_matches(name, tunable, n=1, cutoff=0.5)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"search_space() names {name!r}, which the experiment does not have.{meant}")
        if name not in tunable:
            raise ConfigError(
                f"search_space() names {name!r}, but values of trials that differ in it cannot be compared. "
                f"Tune choices of {', '.join(TUNABLE)}."
            )
        if isinstance(one, Uniform | LogUniform) and _declared(experiment, name) is int:
            raise ConfigError(f"{name} is a whole number, but its range is a {type(one).__name__}. Use Integer.")


def leaves(part: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the value of every choice that is not itself made of choices."""
    for one in fields(part):
        value = getattr(part, one.name)
        if is_dataclass(value):
            yield from leaves(value, f"{prefix}{one.name}.")
        else:
            yield prefix + one.name, value


def replaced(part: Any, overrides: Mapping[str, Any]) -> Any:
    """Return `part` with the choices of dotted names replaced; all at once, so that they are checked together.

    Raises:
        ConfigError: for a name that `part` does not have.
    """
    changes: dict[str, Any] = {}
    below: dict[str, dict[str, Any]] = {}
    for name, value in overrides.items():
        first, _, rest = name.partition(".")
        if first not in {one.name for one in fields(part)}:
            raise ConfigError(f"{type(part).__name__} has no choice {first!r} to be set to {value!r}.")
        if rest:
            below.setdefault(first, {})[rest] = value
        else:
            changes[first] = value
    return replace(part, **changes, **{name: replaced(getattr(part, name), inner) for name, inner in below.items()})


def flags(experiment: Experiment, changed: Experiment) -> list[str]:
    """Return the words of a command line that make `changed` out of `experiment`; their parts are of the same kinds."""
    before = dict(leaves(experiment))
    words: list[str] = []
    for name, value in leaves(changed):
        if value == before.get(name):
            continue
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            parent, dot, last = flag.rpartition(".")
            words.append(f"--{parent}{dot}{'' if value else 'no-'}{last}")
        else:
            words += [f"--{flag}", *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    return words


def _check_ends(made: Range, low: float, high: float, *, positive: bool = False) -> None:
    if not low < high or (positive and low <= 0):
        wanted = "0 < low < high" if positive else "low < high"
        raise ConfigError(f"{type(made).__name__} wants {wanted}, got {low} and {high}.")


def _declared(part: Any, name: str) -> Any:
    *parents, last = name.split(".")
    for parent in parents:
        part = getattr(part, parent)
    return get_type_hints(type(part)).get(last)
