from io import StringIO

import polars as pl
import pytest
from rich.console import Console

from metajax.data import Feature, describe, interactions_from_frame

RATINGS = pl.DataFrame(
    {
        "user": [1] * 12 + [2, 2, 3, 3],
        "item": [*range(12), 0, 1, 0, None],
        "target": [3.0] * 10 + [4.0] * 6,
        "when": [86400 * day for day in range(16)],
    }
)
ITEMS = pl.DataFrame({"item": [0, 1], "tags": [["a", "b"], ["b"]], "mpaa": ["R", None], "price": [1.0, None]})
FEATURES = [Feature("tags", "item", "bag"), Feature("mpaa", "item", "category"), Feature("price", "item", "number")]


def test_counts_by_hand():
    made = describe(interactions_from_frame(RATINGS, timestamp="when", items=ITEMS, features=FEATURES, name="tiny"))
    assert (made.ratings, made.users, made.items) == (15, 3, 12)
    assert made.density == 15 / 36
    assert made.targets == {3.0: 10, 4.0: 5}
    assert made.lengths == {(1, 4): 2, (5, 9): 0, (10, 12): 1}
    assert made.time_range == ("1970-01-01", "1970-01-15")
    assert made.features == (
        ("item", "tags", "bag", 2),
        ("item", "mpaa", "category", 1),
        ("item", "price", "number", 1),
    )
    assert made.rejected == {"no item id": 1}


def test_many_targets_are_binned():
    ratings = pl.DataFrame({"user": range(101), "item": [1] * 101, "target": range(101)})
    made = describe(interactions_from_frame(ratings))
    assert list(made.targets) == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert list(made.targets.values()) == [10] * 9 + [11]
    assert made.time_range is None


@pytest.mark.parametrize("time", [1_700_000_000_000, 10**17, -(10**12)])
def test_a_time_beyond_the_calendar_is_shown_as_it_is(time):
    ratings = pl.DataFrame({"user": [1, 1], "item": [1, 2], "target": [1, 2], "when": [0, time]})
    made = describe(interactions_from_frame(ratings, timestamp="when"))
    assert set(made.time_range or ()) == {"1970-01-01", str(time)}


def test_the_terminal_shows_all_of_it():
    made = describe(interactions_from_frame(RATINGS, timestamp="when", items=ITEMS, features=FEATURES, name="tiny"))
    text = StringIO()
    Console(width=100, file=text).print(made.render())
    for words in ("tiny", "41.67%", "1970-01-01 to 1970-01-15", "10 to 12", "tags", "no item id"):
        assert words in text.getvalue()
