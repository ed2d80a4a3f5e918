"""What is known of an item before anybody has rated it: its mean rating, estimated from all that the item table says.

Every column becomes tokens: values of categories and bags, words and first words of texts, thresholds of numbers. An
item's mean residual (its ratings less the raters' own levels) is a Gaussian process whose kernel sums, over the
columns, a learned scale times the products of token counts; a number's thresholds make that a random walk over its
quantiles. Scales and noise maximise the leave-one-out predictive log-likelihood, each item weighted by the root of its
number of ratings. An item that was fitted to gets its leave-one-out estimate: training then sees for a known item just
what it will know of a new one, and nothing of the item's own ratings.

References:
    Rasmussen and Williams, 2006, "Gaussian processes for machine learning", eqs. 5.10 to 5.13.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import linalg, sparse

from metajax.data.biases import damped_biases
from metajax.data.columns import Column
from metajax.data.interactions import positions_of

NAME = "content_estimate"
MOST_ITEMS = 3000
"""Items that are fitted to, those with most ratings; others are estimated like new ones."""
SCALE_ITEMS = 1000
"""Items that the scales are chosen on, those with most ratings: a third of the items take a twentieth of the time."""
THRESHOLDS = 24
LEADS = 10
"""Texts of so many words or fewer, such as titles, may be told by how they begin."""
WORD = re.compile(r"\w+")
START_SCALE, START_NOISE = 0.01, (0.05, 1.5)


@dataclass(frozen=True)
class View:
    """One column of the item table as tokens.

    Attributes:
        column: of the item table.
        kind: "bag", "category", "words", "lead" (the first two and three words of a text) or "number".
        tokens: the known ones; of a number, its thresholds as text.
        counts: `[tokens]` what a token counts for: 1, or the log of how rare a word is.
        weights: `[tokens]` what a token adds to the estimate, in units of the rating.
    """

    column: str
    kind: str
    tokens: tuple[str, ...]
    counts: tuple[float, ...]
    weights: tuple[float, ...] = ()

    def matrix(self, items: pl.DataFrame) -> sparse.csr_matrix:
        """Return `[items, tokens]`; rows of words have length 1, a column that is missing gives zeros."""
        index = {token: position for position, token in enumerate(self.tokens)}
        rows, columns = [], []
        if self.column in items.columns:
            for row, tokens in enumerate(_tokens(items[self.column], self.kind, self.tokens)):
                known = [index[token] for token in set(tokens) if token in index]
                rows.extend([row] * len(known))
                columns.extend(known)
        values = np.asarray(self.counts)[columns] if columns else np.zeros(0)
        made = sparse.csr_matrix((values, (rows, columns)), shape=(items.height, len(self.tokens)))
        if self.kind == "words":
            lengths = np.sqrt(np.asarray(made.multiply(made).sum(axis=1))).ravel()
            made = sparse.csr_matrix(made.multiply(1 / np.maximum(lengths, 1e-12)[:, None]))
        return made


@dataclass(frozen=True)
class ContentEstimate:
    """A fitted estimate.

    Attributes:
        views: of the columns that were found.
        base: the estimate of an item of which nothing is known.
        own: item id as text -> leave-one-out estimate, of the items that were fitted to.
        scale: what estimates are divided by when they are encoded.
    """

    views: tuple[View, ...]
    base: float
    own: Mapping[str, float]
    scale: float

    @property
    def column(self) -> Column:
        """What a model sees."""
        return Column(NAME, "item", "number", 1)

    def encode(self, items: pl.DataFrame) -> np.ndarray:
        """Return float32 `[items]`: leave-one-out estimates of items that were fitted to, estimates of all others."""
        estimates = np.full(items.height, self.base)
        for view in self.views:
            estimates += view.matrix(items) @ np.asarray(view.weights)
        own = [self.own.get(str(item)) for item in items["item"]]
        known = np.asarray([value is not None for value in own], bool)
        estimates[known] = [value for value in own if value is not None]
        return (estimates / self.scale).astype(np.float32)

    @classmethod
    def from_json(cls, document: Any) -> "ContentEstimate":
        """Undo `dataclasses.asdict`.

        Raises:
            KeyError, TypeError, ValueError: for what that did not write.
        """
        views = tuple(
            View(
                str(one["column"]),
                str(one["kind"]),
                tuple(str(token) for token in one["tokens"]),
                tuple(float(count) for count in one["counts"]),
                tuple(float(weight) for weight in one["weights"]),
            )
            for one in document["views"]
        )
        if any(not len(one.tokens) == len(one.counts) == len(one.weights) for one in views):
            raise ValueError("the tokens, counts and weights of a view differ in number")
        own = {str(item): float(value) for item, value in document["own"].items()}
        return cls(views, float(document["base"]), own, float(document["scale"]))


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
    matrices = [view.matrix(rated) for view in views]
    kept = [place for place, matrix in enumerate(matrices) if matrix.nnz]
    if not kept:
        return None
    views, matrices = [views[place] for place in kept], [matrices[place] for place in kept]
    kernels = [(matrix @ matrix.T).toarray() for matrix in matrices]
    sizes = [float(np.diag(kernel)[np.diag(kernel) > 0].mean()) for kernel in kernels]
    kernels = [kernel / size for kernel, size in zip(kernels, sizes, strict=True)]
    residual, counts = mean_residuals(train, rated["item"])
    first = slice(SCALE_ITEMS)
    scales, noise = _choose_scales([kernel[first, first] for kernel in kernels], residual[first], counts[first])
    covariance = _covariance(scales, kernels)
    inverse = linalg.inv(covariance + np.diag(noise[0] + noise[1] / counts))
    dual = inverse @ residual
    own = residual - dual / np.diag(inverse)
    weighted = tuple(
        View(view.column, view.kind, view.tokens, view.counts, tuple((scale / size) * (matrix.T @ dual)))
        for view, matrix, scale, size in zip(views, matrices, scales, sizes, strict=True)
    )
    by_item = dict(zip(map(str, rated["item"]), own.tolist(), strict=True))
    spread = float(own.std())
    return ContentEstimate(weighted, float(dual.sum()), by_item, spread if spread > 1e-9 else 1.0)


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
    kernels: Sequence[np.ndarray], residual: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    start = np.log([START_SCALE] * len(kernels) + list(START_NOISE))
    from scipy import optimize  # 13 MB that a service does not need

    found = optimize.minimize(
        leave_one_out,
        start,
        args=(kernels, residual, counts),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-12.0, 3.0)] * len(start),
        options={"maxiter": 20, "maxfun": 24},
    )
    return np.exp(found.x[:-2]), np.exp(found.x[-2:])


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
