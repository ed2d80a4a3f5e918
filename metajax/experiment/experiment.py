"""An experiment: every choice of a run in one frozen dataclass, from a Python file and the command line."""

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from metajax.errors import ConfigError
from metajax.evaluation.config import EvaluationConfig
from metajax.experiment.data import DataConfig, UserCold
from metajax.experiment.learners import Ridge
from metajax.experiment.losses import SquaredError
from metajax.experiment.models import MatrixFactorization
from metajax.experiment.optimizers import Adam
from metajax.tasks import EpisodeConfig
from metajax.training.loop import TrainingConfig

T = TypeVar("T")


@dataclass(frozen=True)
class Experiment:
    """What is run. A part may be any object with the same `build` method as those of `metajax.experiment`.

    The defaults are simple and fast: a ridge regression per user. Those of `metajax train` without an experiment file
    are `metajax.experiment.flagship`.
    """

    name: str = "default"
    """Of the run; its results go below runs/NAME."""
    data: DataConfig = field(default_factory=DataConfig)
    """Where the ratings come from."""
    split: Any = field(default_factory=UserCold)
    """Who is cold: UserCold, MeluSplit, TanpSplit, ItemCold, BothCold, Temporal, CrossDomain or WarmUp."""
    model: Any = field(default_factory=MatrixFactorization)
    """What is meta-trained: Linear, MatrixFactorization, TwoTower, NeuMF, FactorizationMachine or DeepFM."""
    loss: Any = field(default_factory=SquaredError)
    """What a row costs: SquaredError, BinaryCrossEntropy, SoftmaxCrossEntropy, Ordinal or PairwiseRanking."""
    learner: Any = field(default_factory=Ridge)
    """How users are adapted to, such as Ridge, Melu or Maml: any class of metajax/experiment/learners."""
    episodes: EpisodeConfig = field(default_factory=EpisodeConfig)
    """How training tasks are drawn."""
    optimizer: Any = field(default_factory=Adam)
    """What moves the meta-parameters."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """How the outer loop runs."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """What is measured."""
    seeds: tuple[int, ...] = (0,)
    """One training run each; reports pool them."""

    def __post_init__(self) -> None:
        """Check the name, which is a path below runs/, and the seeds."""
        parts = self.name.split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise ConfigError(f"The name of an experiment is a path below runs/, such as a/b; got {self.name!r}.")
        if not self.seeds or not all(0 <= seed < 2**32 for seed in self.seeds):
            raise ConfigError(f"An experiment has one seed or more, from 0 to 2**32 - 1; got {self.seeds}.")
        if len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"Each seed is a run of its own; got {self.seeds}, in which one comes twice.")


def load_experiment(path: str | Path) -> Experiment:
    """Run a Python file that defines `experiment()` and return what that returns.

    Raises:
        ConfigError: if there is no such file, or it defines no `experiment()` that returns an `Experiment`.
    """
    module = run_file(path)
    if not callable(getattr(module, "experiment", None)):
        raise ConfigError(f"{path} defines no function experiment(). It must return a metajax.experiment.Experiment.")
    made = module.experiment()
    if not isinstance(made, Experiment):
        raise ConfigError(f"experiment() of {path} returned a {type(made).__name__}, wanted an Experiment.")
    return made


def run_file(path: str | Path) -> ModuleType:
    """Run an experiment file and return it as a module.

    Raises:
        ConfigError: if there is no such file, or it is not Python.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"There is no experiment file {path}. Name a Python file that defines experiment().")
    spec = importlib.util.spec_from_file_location(f"metajax_experiment_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is not a Python file. Wanted one that defines experiment().")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look up annotations that are strings
    spec.loader.exec_module(module)
    return module


def override(
    experiment: Experiment,
    arguments: Sequence[str],
    *,
    options: T,
    program: str = "metajax train",
    about: str = "Every choice of the run is a flag.",
) -> tuple[Experiment, T]:
    """Apply command-line overrides such as `--learner.inner-steps 5`, with help, completion and "did you mean".

    The flags are those of the parts that the experiment has chosen, so that a part of your own has flags too.

    Args:
        experiment: what is overridden.
        arguments: the words of the command line.
        options: a dataclass whose fields are flags beside the experiment's.
        program: how the help names the command.
        about: what the help says first.

    Returns:
        The experiment and the options, as the command line has them.
    """
    import tyro

    chosen = {one.name: getattr(experiment, one.name) for one in fields(experiment)}
    parts: list[tuple] = [("options", tyro.conf.OmitArgPrefixes[type(options)], field(default=options))]
    for name, value in chosen.items():
        parts.append(
            (name, type(value) if is_dataclass(value) else _TYPES.get(name, type(value)), field(default=value))
        )
    made = make_dataclass("Overrides", parts, frozen=True, namespace={"__doc__": about})
    parsed = tyro.cli(made, args=list(arguments), default=made(options=options, **chosen), prog=program)
    return Experiment(**{name: getattr(parsed, name) for name in chosen}), parsed.options


_TYPES = {"seeds": tuple[int, ...]}
