"""What a recommender answers with, in the data's own ids."""

from typing import Any, NamedTuple


class Recommendation(NamedTuple):
    """One recommended item.

    Attributes:
        item: the data's own id.
        title: or None where the data have none.
        score: predicted target, in its units.
    """

    item: Any
    title: str | None
    score: float


class Reason(NamedTuple):
    """What one rating did to a prediction.

    Attributes:
        item: the rated item, by the data's own id.
        title: or None where the data have none.
        rating: as it was given.
        effect: what it added to the predicted target, before clipping to the scale.
    """

    item: Any
    title: str | None
    rating: float
    effect: float


class Match(NamedTuple):
    """An item that was looked for.

    Attributes:
        item: the data's own id.
        title: or None where the data have none.
        score: how well it fits: a cosine, what a question is worth, or how well a title matches.
    """

    item: Any
    title: str | None
    score: float
