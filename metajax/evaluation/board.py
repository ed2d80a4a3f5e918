"""The board: the learners of several runs in one table, with the baselines and corrected tests against the best one."""

from collections.abc import Mapping, Sequence

import polars as pl

from metajax.errors import ConfigError
from metajax.evaluation.comparison import refuse_to_mix, run_names
from metajax.evaluation.results import PerUser
from metajax.evaluation.summary import Summary, summarise


def board(
    runs: Sequence[PerUser],
    *,
    references: Mapping[str, str],
    rank_references: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Summary:
    """Summarise the learners of all runs and the baselines of the first as one table.

    Tests against the reference are Holm-corrected over all learners and metrics of a scenario and support size.

    Args:
        runs: of one protocol and data set; learners of the same name are told apart by their run's.
        references: of every scenario, the baseline that learners are tested against.
        rank_references: the same for the metrics of the whole catalogue; `references` by default.
        seed: of the bootstrap and of the permutation tests.

    Raises:
        ConfigError: if there is no run, or the runs differ in protocol or data.
    """
    if not runs:
        raise ConfigError("A board needs one evaluated run or more, got none. Name the runs' folders.")
    for other in runs[1:]:
        refuse_to_mix(runs[0], other)
    learners = [run.frame.filter(pl.col("kind") == "learner") for run in runs]
    names = [name for frame in learners for name in frame["method"].unique()]
    renamed = [
        frame.with_columns(
            method=pl.when(pl.col("method").is_in([one for one in names if names.count(one) > 1]))
            .then(pl.lit(f"{run}: ") + pl.col("method"))
            .otherwise(pl.col("method"))
        )
        for run, frame in zip(run_names(runs), learners, strict=True)
    ]
    baselines = runs[0].frame.filter(pl.col("kind") == "baseline")
    frame = pl.concat([*renamed, baselines], how="diagonal_relaxed")
    protocol = runs[0].protocol
    return summarise(frame, protocol=protocol, reference_baseline=references, rank_reference=rank_references, seed=seed)
