"""What is taken up next, of MovieLens' latest-small: a regression of uptake on the leading factors of who took what.

Run:      metajax tune experiments/latest_small/uptake.py --trials 6 --whole-trials 6 --seconds 60
          metajax train experiments/latest_small/uptake.py --tuned runs/latest_small/uptake/tune/best.json
          metajax evaluate runs/latest_small/uptake
Override: metajax train experiments/latest_small/uptake.py --learner.deviation 0.5 --name other
Takes:    minutes on 2 CPU cores, evaluation included.
Reaches:  results/latest_small/uptake.json: nDCG@10 .162, .180 at 5 and 10 ratings, above every baseline in
          value; at 10 the lead over iALS is not beyond chance (p .14).
Follows:  Liang et al., 2018, https://arxiv.org/abs/1802.05814, for the loss
"""

from dataclasses import replace

from metajax.experiment import Experiment, ranking, ranking_space
from metajax.experiment.search import Range


def experiment() -> Experiment:
    base = ranking()
    return replace(
        base,
        name="latest_small/uptake",
        data=replace(base.data, source="ml-latest-small"),
        learner=replace(base.learner, middle=3.6, relevant=4.0),
        seeds=(0, 1, 2, 3, 4),
    )


def search_space() -> dict[str, Range]:
    return ranking_space()
