"""Ranking a catalogue for an adapted user: exact in blocks, by a linear form where that holds, by an index."""

from metajax.ranking.exact import BLOCK, Rank, TopItems, adapt_to, predicted_score, ranker
from metajax.ranking.linear import LinearForm, check_linear, is_linear, linear_form, linear_score

__all__ = [
    "BLOCK",
    "LinearForm",
    "Rank",
    "TopItems",
    "adapt_to",
    "check_linear",
    "is_linear",
    "linear_form",
    "linear_score",
    "predicted_score",
    "ranker",
]
