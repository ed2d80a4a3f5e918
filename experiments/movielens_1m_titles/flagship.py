"""The flagship, told of items also what a sentence encoder makes of their titles.

Run:      metajax train experiments/movielens_1m_titles/flagship.py
          metajax evaluate runs/movielens_1m_titles/flagship
Needs:    pip install 'metajax[text]'; the encoder (440 MB) is fetched from its publisher the first time.
Override: metajax train experiments/movielens_1m_titles/flagship.py --data.text-encoder a/folder --name other
Takes:    as long as without, and a minute to read the titles.
Reaches:  results/movielens_1m_titles/flagship.json: MAE .687 of cold users, .847 of cold items, .846 of both.
Follows:  docs/flagship.md, "With an encoder of titles": why these are tables of their own, for the encoder has read
          about these very films.
"""

from dataclasses import replace

from metajax.experiment import Experiment, MeluSplit, flagship, flagship_space
from metajax.experiment.search import Range


def experiment() -> Experiment:
    base = flagship()
    return replace(
        base,
        name="movielens_1m_titles/flagship",
        data=replace(
            base.data,
            source="ml-1m",
            features=("gender", "age", "occupation", "genres", "decade", "mpaa"),
            text_encoder="sentence-transformers/all-mpnet-base-v2@e8c3b32edf5434bc2275fc9bab85f82640a19130",
        ),
        split=MeluSplit(),
        learner=replace(base.learner, members=3),
        episodes=replace(base.episodes, min_rows=13, by_rows=False),
        seeds=(0, 1, 2, 3, 4),
    )


def search_space() -> dict[str, Range]:
    return flagship_space()
