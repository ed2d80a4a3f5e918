"""What is taken up next, of artists on Last.fm, with the choices made on training users of MovieLens-1M.

Run:      metajax train experiments/lastfm/autoencoder.py && metajax evaluate runs/lastfm/autoencoder
Override: metajax train experiments/lastfm/autoencoder.py --learner.dropout 0.3 --name other
Takes:    minutes on 2 CPU cores, evaluation included.
Reaches:  results/lastfm/autoencoder.json: behind iALS, EASE and item-kNN of clicks.
Follows:  Liang et al., 2018, https://arxiv.org/abs/1802.05814
"""

from dataclasses import replace

from metajax.experiment import Experiment, ranking, ranking_space
from metajax.experiment.search import Range


def experiment() -> Experiment:
    base = ranking()
    return replace(
        base,
        name="lastfm/autoencoder",
        data=replace(base.data, source="lastfm-hetrec2011"),
        learner=replace(base.learner, middle=1.0),
        seeds=(0, 1, 2, 3, 4),
    )


def search_space() -> dict[str, Range]:
    return ranking_space()
