"""What an evaluation measures."""

from dataclasses import dataclass

from metajax.errors import ConfigError


@dataclass(frozen=True)
class EvaluationConfig:
    """What is measured, and how a ranking is judged."""

    shots: tuple[int, ...] = (0, 1, 3, 5, 10, 20)
    """Support sizes of the k-shot curve; the full support is always measured too."""
    cutoffs: tuple[int, ...] = (5,)
    """Lengths of the lists that ranking metrics look at."""
    relevant: float = 4.0
    """Targets from here on count as relevant."""
    catalogue_cutoffs: tuple[int, ...] = (10, 20)
    """Lengths of the lists when the whole catalogue is ranked; none leaves that regime out."""
    catalogue_shots: tuple[int, ...] = (5,)
    """Support sizes at which the whole catalogue is ranked, beside the full support; of the first draw only."""
    validation_shots: tuple[int, ...] = (5,)
    """Support sizes that model selection averages over, beside the full support."""
    baselines: bool = True
    """Measure the baselines beside the learner."""
    tuned: bool = True
    """Measure tuned versions of the baselines too: of a few candidates each, validation users choose one."""

    def __post_init__(self) -> None:
        """Check what can be checked without data."""
        if min(self.cutoffs, default=0) < 1 or min(self.shots, default=0) < 0:
            raise ConfigError(f"cutoffs must be 1 or more and shots 0 or more, got {self.cutoffs} and {self.shots}.")
