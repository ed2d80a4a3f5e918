"""TaNP on MovieLens-1M, cold users, cold items and both, as MeLU split them.

Run:      metajax train experiments/movielens_1m/tanp.py && metajax evaluate runs/movielens_1m/tanp
Override: metajax train experiments/movielens_1m/tanp.py --learner.num-clusters 20 --name other
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/tanp.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Lin et al., 2021, https://arxiv.org/abs/2103.06137
"""

from metajax.experiment import DataConfig, EpisodeConfig, Experiment, MeluSplit, TaNP, TrainingConfig
from metajax.experiment.search import Choice, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_1m/tanp",
        data=DataConfig(source="ml-1m"),
        split=MeluSplit(),
        learner=TaNP(),
        episodes=EpisodeConfig(min_rows=13),
        training=TrainingConfig(outer_steps=6000, validate_every=200, patience=6),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "model.factors": Choice((8, 16, 32, 64)),
        "learner.width": Choice((32, 64, 128)),
    }
