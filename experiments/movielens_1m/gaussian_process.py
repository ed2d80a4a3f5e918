"""A Gaussian process with a deep kernel on MovieLens-1M.

Run:      metajax train experiments/movielens_1m/gaussian_process.py
          metajax evaluate runs/movielens_1m/gaussian_process
Override: metajax train experiments/movielens_1m/gaussian_process.py --model.factors 32 --name other
Takes:    a few minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/gaussian_process.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Patacchiola et al., 2020, https://arxiv.org/abs/1910.05199
"""

from metajax.experiment import DataConfig, EpisodeConfig, Experiment, GaussianProcess, MeluSplit, TrainingConfig
from metajax.experiment.search import Choice, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_1m/gaussian_process",
        data=DataConfig(source="ml-1m"),
        split=MeluSplit(),
        learner=GaussianProcess(),
        episodes=EpisodeConfig(min_rows=13),
        training=TrainingConfig(outer_steps=6000, validate_every=200, patience=6),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.length": LogUniform(0.2, 5.0),
        "model.factors": Choice((8, 16, 32, 64)),
    }
