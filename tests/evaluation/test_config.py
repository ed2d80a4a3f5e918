"""What counts as relevant is read off the scale, unless it is said."""

import pytest

from metajax.errors import ConfigError
from metajax.evaluation.config import EvaluationConfig


def test_lists_are_measured_at_support_sizes_that_errors_are_not():
    assert EvaluationConfig(shots=(0, 20)).all_shots == [0, 5, 10, 20]
    assert EvaluationConfig(shots=(20, 0), catalogue_cutoffs=()).all_shots == [0, 20]


@pytest.mark.parametrize(
    ("scale", "levels", "relevant"),
    [
        ((1, 5), (1, 2, 3, 4, 5), 4),
        ((0.5, 5), (0.5, 1, 2, 3.5, 4, 4.5, 5), 4),
        ((1, 10), (1, 7, 8, 10), 8),
        ((0, 1), (1,), 1),
        ((1, 1), (1,), 1),
        ((1, 5), (1, 2, 3), 3),
    ],
)
def test_relevance_begins_at_three_quarters_of_the_scale(scale, levels, relevant):
    assert EvaluationConfig().resolved(scale, levels).relevant == EvaluationConfig().resolved(scale, levels).threshold
    assert EvaluationConfig().resolved(scale, levels).threshold == relevant


@pytest.mark.parametrize("wrong", [{"catalogue_cutoffs": (0,)}, {"catalogue_shots": (-1,)}, {"cutoffs": (0,)}])
def test_a_list_of_no_items_is_refused(wrong):
    with pytest.raises(ConfigError, match="cutoffs must be 1 or more"):
        EvaluationConfig(**wrong)


def test_what_no_rating_can_be_is_not_relevant():
    with pytest.raises(ConfigError, match="from 8 on are to be relevant, but ratings go from 1 to 5"):
        EvaluationConfig(relevant=8.0).check((1, 5))
    EvaluationConfig(relevant=5.0).check((1, 5))


def test_what_is_said_stands():
    assert EvaluationConfig(relevant=3.0).resolved((1, 5), (1, 2, 3, 4, 5)).threshold == 3.0
    assert EvaluationConfig().threshold == 4.0
