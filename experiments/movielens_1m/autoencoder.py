"""What is taken up next: a linear denoising autoencoder of who rated what, on MovieLens-1M.

Run:      metajax train experiments/movielens_1m/autoencoder.py && metajax evaluate runs/movielens_1m/autoencoder
Override: metajax train experiments/movielens_1m/autoencoder.py --learner.dropout 0.3 --name other
Takes:    about a quarter of an hour for five seeds on 2 CPU cores, evaluation included.
Reaches:  results/movielens_1m/autoencoder.json: three seeds of 3,000 steps, before factors had priors; behind uptake.
Follows:  Liang et al., 2018, https://arxiv.org/abs/1802.05814
"""

from dataclasses import replace

from metajax.experiment import Adam, Autoencoder, Experiment, MatrixFactorization, MeluSplit, ranking
from metajax.experiment.search import Choice, LogUniform, Range, Uniform


def experiment() -> Experiment:
    base = ranking()
    return replace(
        base,
        name="movielens_1m/autoencoder",
        data=replace(base.data, source="ml-1m", features=("gender", "age", "occupation")),
        split=MeluSplit(),
        model=MatrixFactorization(factors=100, factor_scale=0.1),
        learner=Autoencoder(middle=3.6, priors=1.0),
        optimizer=Adam(learning_rate=3e-3),
        episodes=replace(base.episodes, min_rows=13),
        training=replace(base.training, outer_steps=600, min_epochs=40, validate_every=200),
        seeds=(0, 1, 2, 3, 4),
    )


def search_space() -> dict[str, Range]:
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.dropout": Uniform(0.2, 0.7),
        "model.factors": Choice((32, 64, 100, 200)),
    }
