"""MAML on MovieLens-1M: everything adapts, on the features with few values, so that a user's copy stays small.

Run:      metajax train experiments/movielens_1m/maml.py && metajax evaluate runs/movielens_1m/maml
Override: metajax train experiments/movielens_1m/maml.py --learner.first-order --name fomaml
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/maml.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Finn et al., 2017, https://arxiv.org/abs/1703.03400
"""

from metajax.experiment import DataConfig, EpisodeConfig, Experiment, Maml, MeluSplit, TrainingConfig, TwoTower
from metajax.experiment.search import LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_1m/maml",
        data=DataConfig(
            source="ml-1m", identity=(), features=("gender", "age", "occupation", "genres", "decade", "mpaa")
        ),
        split=MeluSplit(),
        model=TwoTower(embedding_dim=16),
        learner=Maml(inner_steps=1, inner_step_size=0.01),
        episodes=EpisodeConfig(min_rows=13),
        training=TrainingConfig(outer_steps=3000, tasks_per_step=32, validate_every=200, patience=5),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.inner_step_size": LogUniform(1e-3, 1e-1),
    }
