"""What is taken up next, of artists on Last.fm: a regression of uptake on the leading factors of who took what.

Run:      metajax tune experiments/lastfm/uptake.py --trials 6 --whole-trials 6 --seconds 60
          metajax train experiments/lastfm/uptake.py --tuned runs/lastfm/uptake/tune/best.json
          metajax evaluate runs/lastfm/uptake
Override: metajax train experiments/lastfm/uptake.py --learner.deviation 0.5 --name other
Takes:    minutes on 2 CPU cores, evaluation included.
Reaches:  results/lastfm/uptake.json: nDCG@10 .211, .235, .268 at 5, 10 and all ratings, above every baseline in value;
          no lead over iALS is beyond chance.
Follows:  Liang et al., 2018, https://arxiv.org/abs/1802.05814, for the loss
"""

from dataclasses import replace

from metajax.experiment import Experiment, ranking, ranking_space
from metajax.experiment.search import Range


def experiment() -> Experiment:
    base = ranking()
    return replace(
        base,
        name="lastfm/uptake",
        data=replace(base.data, source="lastfm-hetrec2011"),
        seeds=(0, 1, 2, 3, 4),
    )


def search_space() -> dict[str, Range]:
    return ranking_space()
