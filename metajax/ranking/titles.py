"""Search of a catalogue by title: what starts like the text, then what has its words, then what resembles it."""

import re
import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np

PREFIX, WORDS, INSIDE, CLOSE = 1.0, 0.75, 0.5, 0.25
"""How well a title matches a text: see `TitleSearch`."""


class TitleSearch:
    """Finds titles, in any case and without accents.

    PREFIX: the title starts with the text. WORDS: each of the text's words begins a word of the title, in any order, so
    that "the matrix" finds "Matrix, The (1999)". INSIDE: the text stands anywhere in the title. CLOSE: it is spelt
    nearly so; looked for only where nothing else is found.
    """

    def __init__(self, titles: Sequence[str | None], num_ratings: np.ndarray) -> None:
        """Fold the titles; of equal matches the more rated comes first."""
        self._titles = [_fold(title or "") for title in titles]
        self._words = [" " + " ".join(re.findall(r"\w+", title)) for title in self._titles]
        self._order = np.argsort(-num_ratings.astype(np.int64), kind="stable").tolist()

    def search(self, text: str, n: int = 10) -> list[tuple[int, float]]:
        """Return up to n positions and how well each matches, the best first."""
        folded = _fold(text)
        words = re.findall(r"\w+", folded)
        if not words:
            return []
        found = [(position, worth) for position in self._order if (worth := self._match(position, folded, words))]
        found = sorted(found, key=lambda one: -one[1])[:n]
        return found or [(position, CLOSE) for position in self._close(folded, n)]

    def _match(self, position: int, text: str, words: list[str]) -> float:
        title = self._titles[position]
        if title.startswith(text):
            return PREFIX
        if all(f" {word}" in self._words[position] for word in words):
            return WORDS
        return INSIDE if text in title else 0.0

    def _close(self, text: str, n: int) -> list[int]:
        """Compare with titles without article and brackets: a year would count as misspelling."""
        bare = {re.sub(r"(, (the|a|an))?\s*(\(.*)?$", "", self._titles[one]): one for one in reversed(self._order)}
        bare.pop("", None)
        return [bare[one] for one in get_close_matches(text, bare, n=n, cutoff=0.6)]


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(one for one in decomposed if not unicodedata.combining(one)).strip()
