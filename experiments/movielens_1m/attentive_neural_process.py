"""An attentive neural process on MovieLens-1M, cold users, cold items and both, as MeLU split them.

Run:      metajax train experiments/movielens_1m/attentive_neural_process.py
          metajax evaluate runs/movielens_1m/attentive_neural_process
Override: metajax train experiments/movielens_1m/attentive_neural_process.py --learner.self-attention --name other
Takes:    some minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/attentive_neural_process.json, tuned: `make results OPTIONS=NAME` makes it again.
Follows:  Kim et al., 2019, https://arxiv.org/abs/1901.05761
"""

from metajax.experiment import (
    AttentiveNeuralProcess,
    DataConfig,
    EpisodeConfig,
    Experiment,
    MeluSplit,
    TrainingConfig,
)
from metajax.experiment.search import Choice, LogUniform, Range


def experiment() -> Experiment:
    return Experiment(
        name="movielens_1m/attentive_neural_process",
        data=DataConfig(source="ml-1m"),
        split=MeluSplit(),
        learner=AttentiveNeuralProcess(),
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
