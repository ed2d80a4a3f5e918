"""Titles are found by how they start, by their words, by what is in them, and misspelt."""

import numpy as np
import pytest

from metajax.ranking.titles import CLOSE, INSIDE, PREFIX, WORDS, TitleSearch

TITLES = ["Matrix, The (1999)", "Star Wars (1977)", "Starship Troopers (1997)", "Le Fabuleux Destin d'Amélie", None]
SEARCH = TitleSearch([*TITLES, "Star Trek (1979)", "Bad (1987)"], np.array([9, 5, 7, 1, 0, 6, 1]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("star", [(2, PREFIX), (5, PREFIX), (1, PREFIX)]),
        ("STAR  w", [(1, WORDS)]),
        ("the matrix", [(0, WORDS)]),
        ("ship", [(2, INSIDE)]),
        ("amelie", [(3, WORDS)]),
        ("ba", [(6, PREFIX)]),
        ("Matrx", [(0, CLOSE)]),
        ("zzzz", []),
        (" ?! ", []),
    ],
)
def test_what_is_found(text, expected):
    assert SEARCH.search(text) == expected


def test_the_better_match_and_the_more_rated_come_first_and_no_more_than_wanted():
    both = TitleSearch(["a tar", "star", "tar", "tar b"], np.array([1, 99, 1, 2]))
    assert both.search("tar") == [(3, PREFIX), (2, PREFIX), (0, WORDS), (1, INSIDE)]
    assert both.search("tar", 1) == [(3, PREFIX)]
