"""The flagship on the protocol of TaNP, with the choices made on the training users of MovieLens-1M.

Run:      metajax train experiments/tanp/flagship.py && metajax evaluate runs/tanp/flagship
Override: metajax train experiments/tanp/flagship.py --learner.members 1 --name single
Takes:    about half an hour for five seeds on 2 CPU cores, evaluation included.
Reaches:  results/tanp/flagship.json: P@5 .879, nDCG@5 .783, MAP@5 .841, ahead of every baseline and of TaNP.
Follows:  docs/flagship.md
"""

from dataclasses import replace

from metajax.experiment import EvaluationConfig, Experiment, TanpSplit, flagship, flagship_space
from metajax.experiment.search import Range


def experiment() -> Experiment:
    base = flagship()
    return replace(
        base,
        name="tanp/flagship",
        data=replace(base.data, source="ml-1m", features=("gender", "age", "occupation", "genres", "decade", "mpaa")),
        split=TanpSplit(),
        learner=replace(base.learner, members=3),
        episodes=replace(base.episodes, min_rows=21),
        evaluation=EvaluationConfig(cutoffs=(5, 7, 10), validation_shots=()),
        seeds=(0, 1, 2, 3, 4),
    )


def search_space() -> dict[str, Range]:
    return flagship_space()
