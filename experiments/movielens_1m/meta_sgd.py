"""Meta-SGD on MovieLens-1M: a learned step size for every element of the decision layers.

Run:      metajax train experiments/movielens_1m/meta_sgd.py && metajax evaluate runs/movielens_1m/meta_sgd
Override: metajax train experiments/movielens_1m/meta_sgd.py --optimizer.learning-rate 3e-3 --name other
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/meta_sgd.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Li et al., 2017, https://arxiv.org/abs/1707.09835
"""

from metajax.experiment import DataConfig, EpisodeConfig, Experiment, MeluSplit, MetaSgd, TrainingConfig, TwoTower
from metajax.experiment.search import LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_1m/meta_sgd",
        data=DataConfig(source="ml-1m", identity=()),
        split=MeluSplit(),
        model=TwoTower(),
        learner=MetaSgd(),
        episodes=EpisodeConfig(min_rows=13),
        training=TrainingConfig(outer_steps=4000, tasks_per_step=32, validate_every=200, patience=5),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.high": LogUniform(1e-2, 1.0),
    }
