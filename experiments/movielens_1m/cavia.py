"""CAVIA on MovieLens-1M: a context vector of 8 beside the user's.

Run:      metajax train experiments/movielens_1m/cavia.py && metajax evaluate runs/movielens_1m/cavia
Override: metajax train experiments/movielens_1m/cavia.py --optimizer.learning-rate 3e-3 --name other
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/cavia.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Zintgraf et al., 2019, https://arxiv.org/abs/1810.03642
"""

from metajax.experiment import Cavia, DataConfig, EpisodeConfig, Experiment, MeluSplit, TrainingConfig, TwoTower
from metajax.experiment.search import Integer, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_1m/cavia",
        data=DataConfig(source="ml-1m", identity=()),
        split=MeluSplit(),
        model=TwoTower(context=8),
        learner=Cavia(inner_steps=2, inner_step_size=1.0),
        episodes=EpisodeConfig(min_rows=13),
        training=TrainingConfig(outer_steps=4000, tasks_per_step=32, validate_every=200, patience=5),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.inner_step_size": LogUniform(0.1, 10.0),
        "learner.inner_steps": Integer(1, 3),
    }
