"""What an evaluation measures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from metajax.errors import ConfigError


@dataclass(frozen=True)
class EvaluationConfig:
    """What is measured, and how a ranking is judged."""

    shots: tuple[int, ...] = (0, 1, 3, 5, 10, 20)
    """Support sizes of the k-shot curve; the full support is always measured too."""
    cutoffs: tuple[int, ...] = (5,)
    """Lengths of the lists that ranking metrics look at."""
    relevant: float | None = None
    """Targets from here on count as relevant; by default the first at three quarters of the scale, as four of five
    stars, or the only one there is."""
    catalogue_cutoffs: tuple[int, ...] = (10, 20)
    """Lengths of the lists when the whole catalogue is ranked; none leaves that regime out."""
    catalogue_shots: tuple[int, ...] = (5, 10)
    """Support sizes at which the whole catalogue is ranked too, beside the full support; of the first draw only."""
    validation_shots: tuple[int, ...] = (5,)
    """Support sizes that model selection averages over, beside the full support."""
    most_users: int | None = 3000
    """Tasks of a scenario, and of validation, are of no more users than this: the first by the hash of "user:<id>".
    Thousands tell as much as all, and every one is measured by every method."""
    baselines: bool = True
    """Measure the baselines beside the learner."""
    tuned: bool = True
    """Measure tuned versions of the baselines too: of a few candidates each, validation users choose one."""

    def __post_init__(self) -> None:
        """Check what can be checked without data."""
        if min(self.cutoffs, default=0) < 1 or min(self.shots, default=0) < 0:
            raise ConfigError(f"cutoffs must be 1 or more and shots 0 or more, got {self.cutoffs} and {self.shots}.")
        if min(self.catalogue_cutoffs, default=1) < 1 or min(self.catalogue_shots, default=0) < 0:
            raise ConfigError(
                f"catalogue_cutoffs must be 1 or more and catalogue_shots 0 or more, got {self.catalogue_cutoffs} and "
                f"{self.catalogue_shots}."
            )
        if self.most_users is not None and self.most_users < 1:
            raise ConfigError(f"most_users must be 1 or more, or None for all, got {self.most_users}.")

    @property
    def all_shots(self) -> list[int]:
        """Support sizes that are measured, ascending; at some the whole catalogue is ranked too."""
        return sorted({*self.shots, *(self.catalogue_shots if self.catalogue_cutoffs else ())})

    @property
    def threshold(self) -> float:
        """Where relevance begins; of five stars, if nothing was said and no data were seen."""
        return 4.0 if self.relevant is None else self.relevant

    def resolved(self, scale: tuple[float, float], levels: Sequence[float]) -> "EvaluationConfig":
        """Return the configuration with `relevant` said.

        Args:
            scale: (lowest, highest) target.
            levels: distinct training targets, ascending.
        """
        if self.relevant is not None:
            return self
        wanted = scale[0] + 0.75 * (scale[1] - scale[0])
        return replace(self, relevant=float(next((level for level in levels if level >= wanted), levels[-1])))

    def check(self, scale: tuple[float, float]) -> None:
        """Raise unless a rating can be relevant.

        Args:
            scale: (lowest, highest) target.

        Raises:
            ConfigError: if `relevant` is above the scale.
        """
        if self.relevant is not None and not self.relevant <= scale[1]:
            raise ConfigError(
                f"Targets from {self.relevant:g} on are to be relevant, but ratings go from {scale[0]:g} to "
                f"{scale[1]:g}. Lower --evaluation.relevant, or leave it out."
            )
