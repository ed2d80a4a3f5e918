"""Ranking a catalogue for an adapted user, exactly or by an index; why an item is there; and what to ask next."""

from metajax.ranking.exact import BLOCK, Rank, TopItems, adapt_to, predicted_score, ranker
from metajax.ranking.explain import Contributions, additive_contributions, check_additive, leave_one_out_effects
from metajax.ranking.linear import LinearForm, check_linear, is_linear, linear_form, linear_score

__all__ = [
    "BLOCK",
    "Contributions",
    "LinearForm",
    "Rank",
    "TopItems",
    "adapt_to",
    "additive_contributions",
    "check_additive",
    "check_linear",
    "is_linear",
    "leave_one_out_effects",
    "linear_form",
    "linear_score",
    "predicted_score",
    "ranker",
]
