"""Douban's ratings of music as a plain file of users, items and ratings: what `metajax train FILE` makes of them.

Run:      metajax train experiments/douban_music/flagship.py --seeds 0
          metajax evaluate runs/douban_music/flagship
Override: metajax train experiments/douban_music/flagship.py --learner.factor-prior 0.35 --name other
Takes:    about eight minutes on 2 CPU cores, evaluation included; a seed two.
Reaches:  results/douban_music/flagship.json, of five seeds (no --seeds 0).
Follows:  docs/flagship.md, "On few ratings"; the file is of the data set douban-book-music
"""

from dataclasses import replace

from metajax.experiment import Experiment, flagship, for_ratings


def experiment() -> Experiment:
    file = "$METAJAX_DATA/douban-book-music/ratings_music.parquet"
    own = for_ratings(replace(flagship().data, source=file))
    return replace(own, name="douban_music/flagship", seeds=(0, 1, 2, 3, 4))
