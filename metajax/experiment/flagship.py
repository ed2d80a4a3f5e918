"""The flagship: what `metajax train` takes for any ratings, and where the flagship experiments start from."""

from metajax.experiment.data import DataConfig
from metajax.experiment.experiment import Experiment
from metajax.experiment.learners import StudentT, Uptake
from metajax.experiment.losses import CatalogueSoftmax
from metajax.experiment.models import MatrixFactorization
from metajax.experiment.optimizers import Adam
from metajax.experiment.search import Choice, LogUniform, Range
from metajax.tasks import EpisodeConfig
from metajax.training.loop import TrainingConfig


def flagship() -> Experiment:
    """Return the choices that were made on training users of MovieLens-1M; docs/flagship.md says why.

    Those about few ratings were made on validation users of other data: see there, "On few ratings".

    One member: two more take three times as long and gain a thousandth of a star.
    """
    return Experiment(
        name="default",
        data=DataConfig(estimate_content=True, max_values=100),
        model=MatrixFactorization(factors=24, factor_scale=0.1),
        learner=StudentT(),
        optimizer=Adam(learning_rate=5e-3),
        episodes=EpisodeConfig(min_support=90, by_rows=True),
        training=TrainingConfig(
            outer_steps=1500,
            min_epochs=10,
            max_steps=4000,
            tasks_per_step=32,
            min_rows_per_step=1000,
            validate_every=500,
            patience=0,
        ),
    )


def flagship_space() -> dict[str, Range]:
    """Return what `metajax tune` may change of it."""
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.rated_deviation": LogUniform(0.03, 0.3),
        "learner.priors": LogUniform(0.2, 1.0),
        "model.factors": Choice((8, 16, 24, 32)),
    }


def ranking() -> Experiment:
    """Return the choices for ranking the whole catalogue, and for ratings that say only who took what up.

    docs/flagship.md, "What is taken up next", says why.
    """
    return Experiment(
        name="default",
        data=DataConfig(features=()),
        model=MatrixFactorization(factors=64, factor_scale=0.0),
        loss=CatalogueSoftmax(),
        learner=Uptake(middle=1.0),
        optimizer=Adam(learning_rate=3e-3),
        episodes=EpisodeConfig(query_rows=50),
        training=TrainingConfig(
            outer_steps=800,
            min_epochs=10,
            max_steps=4000,
            tasks_per_step=64,
            max_tasks_per_step=256,
            validate_every=100,
            patience=0,
        ),
    )


def ranking_space() -> dict[str, Range]:
    """Return what `metajax tune` may change of it."""
    return {
        "optimizer.learning_rate": LogUniform(3e-4, 1e-2),
        "learner.deviation": LogUniform(0.1, 1.0),
        "model.factors": Choice((64, 128)),
    }
