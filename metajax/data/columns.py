"""Features: as declared on raw tables, and as the encoded columns that a model sees."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from metajax.data.taken import Taken
from metajax.errors import DataError

Side = Literal["user", "item"]
Kind = Literal["category", "bag", "number", "vector"]
TOKENS = "tokens"


@dataclass(frozen=True)
class Feature:
    """A declared feature of the raw tables.

    Attributes:
        name: its column.
        of: "user" or "item".
        kind: "category" (a scalar of any type), "bag" (a list of them), "number", or "vector" (a list of floats, all of
            one length: an embedding of text, image, audio or graph).

    Raises:
        DataError: for another side or kind.
    """

    name: str
    of: Side
    kind: Kind

    def __post_init__(self) -> None:
        if self.of not in get_args(Side):
            raise DataError(f"Feature {self.name!r} is of {self.of!r}; wanted one of {get_args(Side)}.")
        if self.kind not in get_args(Kind):
            raise DataError(f"Feature {self.name!r} is a {self.kind!r}; wanted one of {get_args(Kind)}.")


@dataclass(frozen=True)
class Column:
    """One encoded feature column.

    Encoded arrays, for n users or items: category int32 `[n]`; bag int32 `[n, width]`, padded with 0;
    number float32 `[n]`; vector float32 `[n, size]`, of length 1 (root mean square over training). Id 0 is "unknown"
    (category) or padding (bag). Tokens, int32 `[n, sum of widths]`, are groups of bags side by side without an id in
    common, which are compared, not embedded: no model has parameters for them.

    Attributes:
        name: the feature's name; "id" is the user's or item's own identity.
        of: "user" or "item".
        kind: "category", "bag", "number", "vector" or "tokens".
        size: category, bag and tokens: how many ids there are, 0 included; number: 1; vector: its length.
        widths: of the groups of tokens.
        rows: how many training ratings the encoding was fitted on, which priors are weighed against; 0 if unknown.
        taken: of the items' own ids, who took them in training; None where nobody trains.
    """

    name: str
    of: Side
    kind: Kind | Literal["tokens"]
    size: int
    widths: tuple[int, ...] = ()
    rows: int = field(default=0, compare=False)
    taken: Taken | None = field(default=None, compare=False)
