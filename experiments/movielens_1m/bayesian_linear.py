"""Bayesian linear regression on MovieLens-1M: exact, with a variance for every prediction.

Run:      metajax train experiments/movielens_1m/bayesian_linear.py
          metajax evaluate runs/movielens_1m/bayesian_linear
Override: metajax train experiments/movielens_1m/bayesian_linear.py --model.factors 32 --name other
Takes:    a few minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/bayesian_linear.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Harrison et al., 2018, https://arxiv.org/abs/1807.08912
"""

from metajax.experiment import BayesianLinear, DataConfig, EpisodeConfig, Experiment, MeluSplit, TrainingConfig
from metajax.experiment.search import Choice, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_1m/bayesian_linear",
        data=DataConfig(source="ml-1m"),
        split=MeluSplit(),
        learner=BayesianLinear(),
        episodes=EpisodeConfig(min_rows=13),
        training=TrainingConfig(outer_steps=6000, validate_every=200, patience=6),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.prior_variance": LogUniform(0.05, 2.0),
        "model.factors": Choice((8, 16, 32, 64)),
    }
