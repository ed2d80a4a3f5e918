"""What is taken up next: a linear denoising autoencoder of who rated what, on MovieLens-1M.

Run:      metajax train experiments/movielens_1m/autoencoder.py && metajax evaluate runs/movielens_1m/autoencoder
Override: metajax train experiments/movielens_1m/autoencoder.py --learner.dropout 0.3 --name other
Takes:    about ten minutes for three seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/autoencoder.json, kept by the commands above.
Follows:  Liang et al., 2018, https://arxiv.org/abs/1802.05814
"""

from metajax.experiment import (
    Adam,
    Autoencoder,
    CatalogueSoftmax,
    DataConfig,
    EpisodeConfig,
    EvaluationConfig,
    Experiment,
    MatrixFactorization,
    MeluSplit,
    TrainingConfig,
)
from metajax.experiment.search import Choice, LogUniform, Range, Uniform


def experiment() -> Experiment:
    return Experiment(
        name="movielens_1m/autoencoder",
        data=DataConfig(source="ml-1m", features=("gender", "age", "occupation")),
        split=MeluSplit(),
        model=MatrixFactorization(factors=100, factor_scale=0.1),
        loss=CatalogueSoftmax(),
        learner=Autoencoder(middle=3.6),
        optimizer=Adam(learning_rate=3e-3),
        episodes=EpisodeConfig(query_rows=50, min_rows=13),
        training=TrainingConfig(outer_steps=3000, tasks_per_step=64, validate_every=500, patience=0),
        evaluation=EvaluationConfig(shots=(5, 10), catalogue_shots=(5, 10), validation_shots=(5, 10)),
        seeds=(0, 1, 2),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.dropout": Uniform(0.2, 0.7),
        "model.factors": Choice((32, 64, 100, 200)),
    }
