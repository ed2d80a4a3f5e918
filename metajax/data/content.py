"""What is known of an item before anybody has rated it: its mean rating, estimated from all that the item table says.

Every column becomes tokens: values of categories and bags, words and first words of texts, thresholds of numbers. An
item's mean residual (its ratings less the raters' own levels) is a Gaussian process with the kernel

    k(i, j) = 1 + S(i, j) + b N(i, j)^2

S sums, over the columns, a learned scale times the products of token counts; a number's thresholds make that a random
walk over its quantiles. N is the correlation that S gives: what two columns say together counts too. Scales and noise
maximise the leave-one-out predictive log-likelihood, each item weighted by the root of its number of ratings. An item
that was fitted to gets its leave-one-out estimate: training then sees for a known item just what it will know of a new
one, and nothing of the item's own ratings.

References:
    Rasmussen and Williams, 2006, "Gaussian processes for machine learning", eqs. 5.10 to 5.13.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from scipy import linalg, sparse

from metajax.data.biases import damped_biases
from metajax.data.columns import TOKENS, Column
from metajax.data.interactions import positions_of

NAME = "content_estimate"
MOST_ITEMS = 3000
"""Items that are fitted to, those with most ratings; others are estimated like new ones."""
SCALE_ITEMS = 1000
"""Items that the scales are chosen on, those with most ratings: a third of the items take a twentieth of the time."""
THRESHOLDS = 24
MOST_TOKENS = 8
"""Of an average item in one column: learners do not compare columns with more, such as plots."""
CHUNK = 4096
"""Items that are estimated at once."""
LEADS = 10
"""Texts of so many words or fewer, such as titles, may be told by how they begin."""
WORD = re.compile(r"\w+")
START_SCALE, START_SQUARE, START_NOISE = 0.01, 0.05, (0.05, 1.5)
LOG_BOUNDS = (-12.0, 3.0)


@dataclass(frozen=True)
class View:
    """One column of the item table as tokens.

    Attributes:
        column: of the item table.
        kind: "bag", "category", "words", "lead" (the first two and three words of a text) or "number".
        tokens: the known ones; of a number, its thresholds as text.
        counts: `[tokens]` what a token counts for: 1, or the log of how rare a word is.
        scale: of the products of counts, in squared units of the rating.
        fitted: of every item that was fitted to, the positions of its tokens.
    """

    column: str
    kind: str
    tokens: tuple[str, ...]
    counts: tuple[float, ...]
    scale: float = 0.0
    fitted: tuple[tuple[int, ...], ...] = ()

    def read(self, items: pl.DataFrame) -> list[list[int]]:
        """Return the positions of every item's known tokens, ascending; none where the column is missing."""
        if self.column not in items.columns:
            return [[]] * items.height
        index = {token: position for position, token in enumerate(self.tokens)}
        return [
            sorted({index[token] for token in tokens if token in index})
            for tokens in _tokens(items[self.column], self.kind, self.tokens)
        ]

    def matrix(self, rows: Sequence[Sequence[int]]) -> sparse.csr_matrix:
        """Return `[items, tokens]` counts of items with these tokens; rows of words have length 1."""
        starts = np.cumsum([0, *map(len, rows)])
        positions = np.asarray([position for row in rows for position in row], int)
        shape = (len(rows), len(self.tokens))
        made = sparse.csr_matrix((np.asarray(self.counts)[positions], positions, starts), shape=shape)
        if self.kind == "words":
            made = sparse.csr_matrix(made.multiply(1 / np.maximum(np.sqrt(_squares(made)), 1e-12)[:, None]))
        return made


@dataclass(frozen=True)
class ContentEstimate:
    """A fitted estimate.

    Attributes:
        views: of the columns that were found.
        square: b of the kernel.
        dual: of every item that was fitted to, what its kernel with an item adds to that item's estimate.
        own: item id as text -> leave-one-out estimate, of the items that were fitted to.
        scale: what estimates are divided by when they are encoded.
    """

    views: tuple[View, ...]
    square: float
    dual: tuple[float, ...]
    own: Mapping[str, float]
    scale: float

    @property
    def columns(self) -> tuple[Column, ...]:
        """What a model sees, and what learners compare if anything is short enough."""
        estimate = Column(NAME, "item", "number", 1)
        if not (views := self._compared()):
            return (estimate,)
        size = 1 + sum(len(view.tokens) for view in views)
        return estimate, Column(TOKENS, "item", TOKENS, size, widths=tuple(_width(view) for view in views))

    def encode(self, items: pl.DataFrame) -> dict[str, np.ndarray]:
        """Return the columns by name.

        The estimate, float32 `[items]`, is the leave-one-out estimate of an item that was fitted to.
        """
        encoded = {NAME: self._estimates(items)}
        return encoded | {TOKENS: self._tokens(items)} if self._compared() else encoded

    def _compared(self) -> list[View]:
        return [
            view
            for view in self.views
            if view.kind != "number" and 0 < sum(map(len, view.fitted)) <= MOST_TOKENS * len(view.fitted)
        ]

    def _tokens(self, items: pl.DataFrame) -> np.ndarray:
        """Return int32 `[items, widths]`; of an item with too many of them, the first."""
        blocks, first = [], 1
        for view in self._compared():
            block = np.zeros((items.height, _width(view)), np.int32)
            for row, positions in enumerate(view.read(items)):
                kept = positions[: block.shape[1]]
                block[row, : len(kept)] = np.asarray(kept, np.int32) + first
            blocks.append(block)
            first += len(view.tokens)
        return np.concatenate(blocks, axis=1)

    def _estimates(self, items: pl.DataFrame) -> np.ndarray:
        own = [self.own.get(str(item)) for item in items["item"]]
        known = np.asarray([value is not None for value in own], bool)
        estimates = np.empty(items.height)
        estimates[known] = [value for value in own if value is not None]
        estimates[~known] = self._estimate(items.filter(~known))
        return (estimates / self.scale).astype(np.float32)

    def _estimate(self, items: pl.DataFrame) -> np.ndarray:
        fitted = [view.matrix(view.fitted) for view in self.views]
        of_fitted = self._variances(fitted)
        estimates = [np.zeros(0)]
        for start in range(0, items.height, CHUNK):
            some = items.slice(start, CHUNK)
            matrices = [view.matrix(view.read(some)) for view in self.views]
            sums = np.zeros((some.height, len(self.dual)))
            for view, new, old in zip(self.views, matrices, fitted, strict=True):
                sums += view.scale * (new @ old.T).toarray()
            kernel = 1 + sums + self.square * _correlation(sums, self._variances(matrices), of_fitted) ** 2
            estimates.append(kernel @ np.asarray(self.dual))
        return np.concatenate(estimates)

    def _variances(self, matrices: Sequence[sparse.csr_matrix]) -> np.ndarray:
        """Return `[items]` S(i, i)."""
        each = [view.scale * _squares(matrix) for view, matrix in zip(self.views, matrices, strict=True)]
        return np.sum(each, axis=0)

    @classmethod
    def from_json(cls, document: Any) -> "ContentEstimate":
        """Undo `dataclasses.asdict`.

        Raises:
            KeyError, TypeError, ValueError: for what that did not write.
        """
        dual = tuple(float(one) for one in document["dual"])
        views = tuple(_read_view(one, num_fitted=len(dual)) for one in document["views"])
        own = {str(item): float(value) for item, value in document["own"].items()}
        return cls(views, float(document["square"]), dual, own, float(document["scale"]))


def _width(view: View) -> int:
    """Return how many tokens are compared: as many as 19 of 20 items that were fitted to have, or twice the average."""
    most = int(np.quantile(list(map(len, view.fitted)), 0.95, method="higher"))
    return min(max(most, 1), 2 * MOST_TOKENS)


def _read_view(document: Mapping[str, Any], *, num_fitted: int) -> View:
    view = View(
        str(document["column"]),
        str(document["kind"]),
        tuple(str(token) for token in document["tokens"]),
        tuple(float(count) for count in document["counts"]),
        float(document["scale"]),
        tuple(tuple(int(position) for position in row) for row in document["fitted"]),
    )
    if len(view.tokens) != len(view.counts) or len(view.fitted) != num_fitted:
        raise ValueError("the tokens and counts of a view, or its items and those of the estimate, differ in number")
    if not all(0 <= position < len(view.tokens) for row in view.fitted for position in row):
        raise ValueError("an item of a view has a token that is not there")
    return view


def fit_content(items: pl.DataFrame, train: pl.DataFrame, *, most_items: int = MOST_ITEMS) -> ContentEstimate | None:
    """Fit the estimate.

    Args:
        items: the item table; every column but "item" is read that holds texts, lists of texts, or numbers.
        train: training ratings: user, item, target.
        most_items: how many are fitted to; time grows with its cube (3,000 items: ten seconds on two cores).

    Returns:
        None where no column tells two items alike, or fewer than ten items are rated.
    """
    ids = train.group_by("item").len().sort("len", "item", descending=[True, False]).select("item").head(most_items)
    rated = ids.join(items, on="item", maintain_order="left")
    if rated.height < 10:
        return None
    views = [view for name in items.columns if name != "item" for view in _views(rated[name])]
    views = [replace(view, fitted=_frozen(view.read(rated))) for view in views]
    products = [(view, (matrix @ matrix.T).toarray()) for view in views for matrix in [view.matrix(view.fitted)]]
    products = [(view, product) for view, product in products if product.any()]  # a word of all titles tells nothing
    if not products:
        return None
    views, kernels = [view for view, _ in products], [product for _, product in products]
    sizes = [float(np.diag(kernel)[np.diag(kernel) > 0].mean()) for kernel in kernels]
    kernels = [kernel / size for kernel, size in zip(kernels, sizes, strict=True)]
    residual, counts = mean_residuals(train, rated["item"])
    first = slice(SCALE_ITEMS)
    choose = partial(_choose_scales, residual=residual[first], counts=counts[first])
    scales, noise = choose(
        [kernel[first, first] for kernel in kernels], start=(*[START_SCALE] * len(views), *START_NOISE)
    )
    sums = np.einsum("k,kij->ij", scales, kernels)
    squares = _correlation(sums, np.diag(sums), np.diag(sums)) ** 2
    # the proportions of the columns stay, so that the correlations are given
    parts, noise = choose([sums[first, first], squares[first, first]], start=(1.0, START_SQUARE, *noise))
    inverse = linalg.inv(_covariance(parts, [sums, squares]) + np.diag(noise[0] + noise[1] / counts))
    dual = inverse @ residual
    own = residual - dual / np.diag(inverse)
    scaled = zip(views, parts[0] * scales / sizes, strict=True)
    spread = float(own.std())
    return ContentEstimate(
        views=tuple(replace(view, scale=float(scale)) for view, scale in scaled),
        square=float(parts[1]),
        dual=tuple(dual.tolist()),
        own=dict(zip(map(str, rated["item"]), own.tolist(), strict=True)),
        scale=spread if spread > 1e-9 else 1.0,
    )


def mean_residuals(train: pl.DataFrame, items: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return `[items]` mean of target - mean - the rater's damped bias, and the number of ratings it is the mean of."""
    user_ids, item_ids = train["user"].unique().alias("user"), train["item"].unique().alias("item")
    users, rows = positions_of(train["user"], user_ids), positions_of(train["item"], item_ids)
    target = train["target"].to_numpy().astype(float)
    centred = target - target.mean()
    of_user, _ = damped_biases(users, rows, centred, num_users=len(user_ids), num_items=len(item_ids))
    counts = np.bincount(rows)
    means = np.bincount(rows, centred - of_user[users]) / counts
    wanted = positions_of(items, item_ids)
    return means[wanted], counts[wanted]


def leave_one_out(
    logs: np.ndarray, kernels: Sequence[np.ndarray], residual: np.ndarray, counts: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the weighted negative leave-one-out log-likelihood (without constants) and its gradient.

    Args:
        logs: `[kernels + 2]` of the scales and of the noise a, b of an item's mean, a + b / counts.
        kernels: each `[items, items]`.
        residual: `[items]` what is predicted.
        counts: `[items]` of ratings; an item weighs their root.
    """
    scales = np.exp(logs)
    covariance = _covariance(scales[:-2], kernels)
    covariance[np.diag_indices(len(residual))] += scales[-2] + scales[-1] / counts
    lower = linalg.cholesky(covariance, lower=True)
    (invert,) = linalg.get_lapack_funcs(("potri",), (lower,))
    inverse = invert(lower, lower=1)[0]
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    dual, diagonal = inverse @ residual, np.diag(inverse)
    weight = np.sqrt(counts) * len(counts) / np.sqrt(counts).sum()
    value = 0.5 * np.sum(weight * (dual**2 / diagonal - np.log(diagonal)))
    # d inverse = -inverse (d covariance) inverse: one product of matrices serves all scales
    by_diagonal = 0.5 * weight * (dual**2 / diagonal**2 + 1 / diagonal)
    slope = (inverse * by_diagonal) @ inverse - np.outer(inverse @ (weight * dual / diagonal), dual)
    by_scale = [np.vdot(slope, kernel) for kernel in kernels]
    return value, np.array([*by_scale, np.trace(slope), np.sum(np.diag(slope) / counts)]) * scales


def _covariance(scales: np.ndarray, kernels: Sequence[np.ndarray]) -> np.ndarray:
    """Return the sum of the scaled kernels, and 1 for what all items have in common."""
    covariance = np.ones_like(kernels[0])
    for scale, kernel in zip(scales, kernels, strict=True):
        covariance += scale * kernel
    return covariance


def _choose_scales(
    kernels: Sequence[np.ndarray], *, residual: np.ndarray, counts: np.ndarray, start: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scales of the kernels, and the noise a, b; `start` holds both."""
    from scipy import optimize  # 13 MB that a service does not need

    found = optimize.minimize(
        leave_one_out,
        np.log(start),
        args=(kernels, residual, counts),
        jac=True,
        method="L-BFGS-B",
        bounds=[LOG_BOUNDS] * len(start),
        options={"maxiter": 20, "maxfun": 24},
    )
    return np.exp(found.x[:-2]), np.exp(found.x[-2:])


def _correlation(sums: np.ndarray, own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return S(i, j) / sqrt(S(i, i) S(j, j)); 0 for an item of which nothing is known."""
    return sums / np.sqrt(np.maximum(np.outer(own, other), 1e-24))


def _squares(matrix: sparse.csr_matrix) -> np.ndarray:
    """Return `[items]` sums of squares."""
    return np.asarray(matrix.multiply(matrix).sum(axis=1)).reshape(-1)


def _frozen(rows: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(map(tuple, rows))


def _views(column: pl.Series) -> list[View]:
    """Say how a column is read, and which tokens occur twice or more; a list of floats is not read."""
    column = _as_text(column)
    if isinstance(column.dtype, pl.List):
        inner = column.dtype.inner
        kinds = ["bag"] if inner == pl.String or inner.is_integer() else []  # pyright: ignore[reportAttributeAccessIssue]
    elif column.dtype.is_numeric():
        numbers = column.cast(pl.Float64).drop_nulls().drop_nans().to_numpy()
        if len(np.unique(numbers)) < 3:
            return []
        places = np.unique(np.quantile(numbers, np.linspace(0, 1, THRESHOLDS + 1)[1:-1]))
        return [View(column.name, "number", tuple(repr(float(place)) for place in places), (1.0,) * len(places))]
    elif column.dtype == pl.String:
        known = column.drop_nulls()
        lengths = known.str.count_matches(WORD.pattern)
        texts = ["words", "lead"] if float(lengths.median() or 0) <= LEADS else ["words"]  # pyright: ignore[reportArgumentType]
        kinds = texts if known.n_unique() > len(known) / 2 else ["category"]
    else:
        return []
    made = []
    for kind in kinds:
        shown = Counter(token for tokens in _tokens(column, kind) for token in set(tokens))
        tokens = tuple(sorted(token for token, count in shown.items() if count > 1))
        counts = tuple(np.log(len(column) / shown[token]) if kind == "words" else 1.0 for token in tokens)
        made.append(View(column.name, kind, tokens, counts))
    return made


def _tokens(column: pl.Series, kind: str, thresholds: Sequence[str] = ()) -> list[list[str]]:
    """Return the tokens of every row; a null has none."""
    if kind == "number":
        places = np.asarray([float(place) for place in thresholds])
        numbers = column.cast(pl.Float64, strict=False).to_list()
        return [
            [] if one is None or np.isnan(one) else list(thresholds[: int(np.sum(one >= places))]) for one in numbers
        ]
    column = _as_text(column)
    if kind == "bag":
        return [[str(value) for value in one or () if value is not None] for one in column.to_list()]
    texts = ["" if one is None else str(one) for one in column.to_list()]
    if kind == "category":
        return [[one] if one else [] for one in texts]
    words = [WORD.findall(one.lower()) for one in texts]
    return (
        words if kind == "words" else [[" ".join(one[:2]), " ".join(one[:3])] if len(one) > 1 else [] for one in words]
    )


def _as_text(column: pl.Series) -> pl.Series:
    """Return categoricals and truth values as texts, all else as it is."""
    return column.cast(pl.String) if column.dtype in (pl.Categorical, pl.Enum, pl.Boolean) else column
