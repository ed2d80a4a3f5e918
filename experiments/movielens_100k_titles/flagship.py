"""The flagship on MovieLens-100K, told of items also what a sentence encoder makes of their titles.

Run:      metajax train experiments/movielens_100k_titles/flagship.py --learner.members 1
          metajax evaluate runs/movielens_100k_titles/flagship
Needs:    pip install 'metajax[text]'; the encoder (440 MB) is fetched from its publisher the first time.
Override: metajax train experiments/movielens_100k_titles/flagship.py --data.text-encoder a/folder --name other
Takes:    as long as without, and a minute or two to read the titles.
Reaches:  results/movielens_100k_titles/flagship.json, of one member, kept by the commands above.
Follows:  docs/flagship.md, "With an encoder of titles": why these are tables of their own.
"""

from dataclasses import replace

from metajax.experiment import Experiment, flagship, flagship_space
from metajax.experiment.search import Range


def experiment() -> Experiment:
    base = flagship()
    return replace(
        base,
        name="movielens_100k_titles/flagship",
        data=replace(
            base.data,
            source="ml-100k",
            features=("age", "gender", "occupation", "genres", "decade"),
            text_encoder="sentence-transformers/all-mpnet-base-v2@e8c3b32edf5434bc2275fc9bab85f82640a19130",
        ),
        learner=replace(base.learner, members=3),
        seeds=(0, 1, 2, 3, 4),
    )


def search_space() -> dict[str, Range]:
    return flagship_space()
