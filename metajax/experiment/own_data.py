"""What `metajax train RATINGS` takes: the flagship, or, where nothing says how items were liked, what ranks them."""

from dataclasses import replace

import polars as pl

from metajax.data.readers.features import SUFFIXES, suffix_of
from metajax.data.readers.tables import rates
from metajax.data.sources import SOURCES, path_of
from metajax.experiment.data import DataConfig
from metajax.experiment.experiment import Experiment
from metajax.experiment.flagship import flagship, ranking

MIN_EPOCHS = 30
"""Three times those that MovieLens-1M wants. Tried by hand, one seed, from a random start: on a million generated
ratings 5,000 steps in place of 1,500 took the validation error from .7545 to .7334; on ML-100K and latest-small 4,000
left it as it was."""
VALIDATE_EVERY = 250
"""Half of MovieLens-1M's: of few ratings some are learned best within so few steps."""


def default_for(data: DataConfig) -> Experiment:
    """Return the experiment that is trained where only data were named."""
    if tells_how_liked(data):
        return for_ratings(data)
    own = ranking()
    return replace(own, data=replace(data, features=own.data.features, estimate_content=own.data.estimate_content))


def for_ratings(data: DataConfig) -> Experiment:
    """Return the experiment where ratings differ: the flagship."""
    own = flagship()
    buckets = (8, 16, *own.episodes.buckets)  # of histories far shorter than MovieLens'
    episodes = replace(own.episodes, buckets=buckets)
    training = replace(own.training, min_epochs=MIN_EPOCHS, validate_every=VALIDATE_EVERY)
    return replace(own, data=data, episodes=episodes, training=training)


def tells_how_liked(data: DataConfig) -> bool:
    """Say whether there are ratings that differ; what cannot be read is left to be told of when it is loaded."""
    path = path_of(data.source)
    if data.source == DataConfig().source:
        return True
    if data.source not in SOURCES and path.is_file() and suffix_of(path) in SUFFIXES:
        try:
            return rates(path, data.user, data.item, data.target)
        except (pl.exceptions.PolarsError, UnicodeDecodeError):
            return True
    target = data.load().ratings["target"]
    return target.min() != target.max()
