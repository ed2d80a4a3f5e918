"""What a user's ratings are, and which events make sense."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metajax.errors import DataError
from metajax.serving.states import unknown_to
from metajax.serving.store import MAX_BYTES, Event, StoredState, UserRecord, check_events, check_names


def record(*events: tuple[str, float | None, float]) -> UserRecord:
    return UserRecord([Event(str(number), "u", *event) for number, event in enumerate(events)], None)


def ratings(*events: tuple[str, float | None, float], revision: int | None = None) -> dict[str, float]:
    return record(*events).ratings(revision)


def test_the_later_of_two_ratings_holds_in_whatever_order_they_came():
    assert ratings(("a", 2.0, 10.0), ("a", 5.0, 20.0)) == {"a": 5.0}
    assert ratings(("a", 5.0, 20.0), ("a", 2.0, 10.0)) == {"a": 5.0}


def test_of_equally_late_ratings_the_one_stored_later_holds():
    assert ratings(("a", 2.0, 10.0), ("a", 5.0, 10.0)) == {"a": 5.0}


def test_a_withdrawn_rating_is_left_out_until_a_later_one():
    assert ratings(("a", 2.0, 10.0), ("b", 1.0, 10.0), ("a", None, 20.0)) == {"b": 1.0}
    assert ratings(("a", None, 20.0), ("a", 2.0, 10.0)) == {}
    assert ratings(("a", None, 20.0), ("a", 2.0, 30.0)) == {"a": 2.0}


def test_a_corrected_rating_is_as_new_as_its_correction():
    first = [("a", 2.0, 10.0), ("b", 3.0, 11.0), ("c", 3.0, 12.0)]
    assert list(ratings(*first, ("a", 5.0, 13.0))) == ["b", "c", "a"]
    assert list(ratings(*first, ("a", 5.0, 9.0))) == ["a", "b", "c"]  # what came late corrects nothing
    assert list(ratings(*first, ("a", None, 13.0), ("a", 2.0, 14.0))) == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("later", "unknown"),
    [
        ([], {}),
        ([("c", 1.0, 12.0)], {"c": 1.0}),
        ([("d", 4.0, 12.0), ("c", 1.0, 12.0), ("d", 5.0, 13.0)], {"c": 1.0, "d": 5.0}),
        ([("a", 5.0, 12.0)], None),
        ([("a", None, 12.0)], None),
        ([("a", 2.0, 12.0)], None),  # the same, but after b
        ([("b", 3.0, 12.0)], {}),
        ([("a", 5.0, 9.0)], {}),
    ],
)
def test_a_state_takes_in_what_comes_after_all_that_it_knows(later, unknown):
    state = StoredState("m", 2, b"")
    assert unknown_to(state, record(("a", 2.0, 10.0), ("b", 3.0, 11.0), *later)) == unknown


def test_a_revision_sees_the_first_events_only():
    events = [("a", 2.0, 10.0), ("b", 3.0, 11.0), ("a", None, 12.0)]
    assert [ratings(*events, revision=count) for count in range(4)] == [
        {},
        {"a": 2.0},
        {"a": 2.0, "b": 3.0},
        {"b": 3.0},
    ]
    assert UserRecord([], None).revision == 0


@given(st.permutations([("a", 1.0, 1.0), ("a", None, 2.0), ("a", 3.0, 3.0), ("b", 4.0, 1.0), ("b", 5.0, 2.0)]))
def test_events_of_different_times_may_come_in_any_order(events):
    assert ratings(*events) == {"a": 3.0, "b": 5.0}


@pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "x" * (MAX_BYTES + 1), "é" * (MAX_BYTES // 2 + 1)])
def test_a_name_that_not_every_store_can_keep_is_refused(name):
    with pytest.raises(DataError, match=f"a name is 1 to {MAX_BYTES} bytes of UTF-8, without NUL"):
        check_names("u", name)
    with pytest.raises(DataError, match="cannot name"):
        check_events([Event("e", "u", name, 1.0, 0.0)])


@pytest.mark.parametrize(("rating", "time"), [(math.nan, 0.0), (math.inf, 0.0), (1.0, math.nan), (None, -math.inf)])
def test_a_number_that_is_not_finite_is_refused(rating, time):
    with pytest.raises(DataError, match="must be finite numbers"):
        check_events([Event("e", "u", "i", rating, time)])
