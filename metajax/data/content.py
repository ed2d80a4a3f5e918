"""What is known of an item before anybody has rated it: its mean rating, estimated from all that the item table says.

Every column becomes tokens: values of categories and bags, words and first words of texts, thresholds of numbers;
vectors, such as embeddings of texts or images, stay as they are. An item's mean residual (its ratings less the raters'
own levels) is a Gaussian process with the kernel

    k(i, j) = 1 + S(i, j) + b N(i, j)^2

S sums, over the columns, a learned scale times the products of token counts, or the cosine of vectors; a number's
thresholds make that a random walk over its quantiles. N is the correlation that S gives: what two columns say together
counts too. Scales and noise maximise the leave-one-out predictive log-likelihood, each item weighted by the root of its
number of ratings. An item that was fitted to gets its leave-one-out estimate: training then sees for a known item just
what it will know of a new one, and nothing of the item's own ratings. The leading eigenvectors of N are dense factors
of an item (kernel principal components): what its columns say in few numbers, for learners to read.

References:
    Rasmussen and Williams, 2006, "Gaussian processes for machine learning", eqs. 5.10 to 5.13.
    Schoelkopf, Smola and Mueller, 1998, "Nonlinear component analysis as a kernel eigenvalue problem".
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from metajax.data.biases import damped_biases
from metajax.data.columns import TOKENS, Column
from metajax.data.content_scales import choose_scales, summed_covariance
from metajax.data.content_vectors import KIND as VECTOR
from metajax.data.content_vectors import VectorView, read_vector_view
from metajax.data.interactions import positions_of
from metajax.data.inverse import positive_inverse

NAME = "content_estimate"
FACTORS = "content_factors"
NUM_FACTORS = 32
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
Matrix = Any
"""An array, or a sparse matrix of scipy, which a service, that fits nothing, does without."""
START_SCALE, START_SQUARE, START_NOISE = 0.01, 0.05, (0.05, 1.5)


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

    def matrix(self, items: pl.DataFrame) -> Matrix:
        """Return `[items, tokens]` counts; rows of words have length 1."""
        return self._counts(self.read(items))

    def fitted_matrix(self) -> Matrix:
        """Return `[items, tokens]` counts of the items that were fitted to."""
        return self._counts(self.fitted)

    def read(self, items: pl.DataFrame) -> list[list[int]]:
        """Return the positions of every item's known tokens, ascending; none where the column is missing."""
        if self.column not in items.columns:
            return [[]] * items.height
        index = {token: position for position, token in enumerate(self.tokens)}
        return [
            sorted({index[token] for token in tokens if token in index})
            for tokens in _tokens(items[self.column], self.kind, self.tokens)
        ]

    def _counts(self, rows: Sequence[Sequence[int]]) -> Matrix:
        from scipy.sparse import csr_matrix

        starts = np.cumsum([0, *map(len, rows)])
        positions = np.asarray([position for row in rows for position in row], int)
        shape = (len(rows), len(self.tokens))
        made = csr_matrix((np.asarray(self.counts)[positions], positions, starts), shape=shape)
        if self.kind == "words":
            made = csr_matrix(made.multiply(1 / np.maximum(np.sqrt(_squares(made)), 1e-12)[:, None]))
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
        factors: of every item that was fitted to, what its N with an item adds to that item's dense factors.
    """

    views: tuple[View | VectorView, ...]
    square: float
    dual: tuple[float, ...]
    own: Mapping[str, float]
    scale: float
    factors: tuple[tuple[float, ...], ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """What a model sees, and what learners compare if anything is short enough."""
        columns = [Column(NAME, "item", "number", 1)]
        if self.factors:
            columns.append(Column(FACTORS, "item", "vector", len(self.factors[0])))
        if views := self._compared():
            size = 1 + sum(len(view.tokens) for view in views)
            columns.append(Column(TOKENS, "item", TOKENS, size, widths=tuple(_width(view) for view in views)))
        return tuple(columns)

    def encode(self, items: pl.DataFrame) -> dict[str, np.ndarray]:
        """Return the columns by name.

        The estimate, float32 `[items]`, is the leave-one-out estimate of an item that was fitted to. The factors are
        float32 `[items, width]`.
        """
        estimates, factors = self._of_kernel(items)
        encoded = {NAME: estimates} | ({FACTORS: factors} if self.factors else {})
        return encoded | {TOKENS: self._tokens(items)} if self._compared() else encoded

    def _compared(self) -> list[View]:
        return [
            view
            for view in self.views
            if isinstance(view, View)
            and view.kind != "number"
            and 0 < sum(map(len, view.fitted)) <= MOST_TOKENS * len(view.fitted)
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

    def _of_kernel(self, items: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return float32 `[items]` estimates and `[items, width]` factors."""
        fitted = [view.fitted_matrix() for view in self.views]
        of_fitted, dual = self._variances(fitted), np.asarray(self.dual)
        maps = np.asarray(self.factors) if self.factors else np.zeros((len(dual), 0))
        estimates, factors = np.empty(items.height), np.empty((items.height, maps.shape[1]), np.float32)
        for start in range(0, items.height, CHUNK):
            some, here = items.slice(start, CHUNK), slice(start, start + CHUNK)
            matrices = [view.matrix(some) for view in self.views]
            sums = np.zeros((some.height, len(dual)))
            for view, new, old in zip(self.views, matrices, fitted, strict=True):
                sums += view.scale * _products(new, old)
            correlation = _correlation(sums, self._variances(matrices), of_fitted)
            estimates[here] = (1 + sums + self.square * correlation**2) @ dual
            factors[here] = correlation @ maps
        for row, item in enumerate(items["item"]):
            estimates[row] = self.own.get(str(item), estimates[row])
        return (estimates / self.scale).astype(np.float32), factors

    def _variances(self, matrices: Sequence[Matrix]) -> np.ndarray:
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
        factors = tuple(tuple(float(one) for one in row) for row in document.get("factors", ()))
        if factors and (len(factors) != len(dual) or len({len(row) for row in factors}) > 1):
            raise ValueError("the factors of an estimate and its items differ in number")
        return cls(views, float(document["square"]), dual, own, float(document["scale"]), factors)


def _width(view: View) -> int:
    """Return how many tokens are compared: as many as 19 of 20 items that were fitted to have, or twice the average."""
    most = int(np.quantile(list(map(len, view.fitted)), 0.95, method="higher"))
    return min(max(most, 1), 2 * MOST_TOKENS)


def _read_view(document: Mapping[str, Any], *, num_fitted: int) -> View | VectorView:
    if document["kind"] == VECTOR:
        return read_vector_view(document, num_fitted=num_fitted)
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


def fit_content(
    items: pl.DataFrame, train: pl.DataFrame, *, most_items: int = MOST_ITEMS, together: bool = True
) -> ContentEstimate | None:
    """Fit the estimate.

    Args:
        items: the item table; every column but "item" is read that holds texts, lists of texts, or numbers.
        train: training ratings: user, item, target.
        most_items: how many are fitted to; time grows with its cube (3,000 items: ten seconds on two cores).
        together: whether b of the kernel is chosen too; else it is 0.

    Returns:
        None where no column tells two items alike, or fewer than ten items are rated.
    """
    ids = train.group_by("item").len().sort("len", "item", descending=[True, False]).select("item").head(most_items)
    rated = ids.join(items, on="item", maintain_order="left")
    if rated.height < 10:
        return None
    views = [view for name in items.columns if name != "item" for view in _views(rated[name])]
    products = [(view, _products(matrix, matrix)) for view in views for matrix in [view.fitted_matrix()]]
    products = [(view, product) for view, product in products if product.any()]  # a word of all titles tells nothing
    if not products:
        return None
    views, kernels = [view for view, _ in products], [product for _, product in products]
    sizes = [float(np.diag(kernel)[np.diag(kernel) > 0].mean()) for kernel in kernels]
    kernels = [kernel / size for kernel, size in zip(kernels, sizes, strict=True)]
    residual, counts = mean_residuals(train, rated["item"])
    first = slice(SCALE_ITEMS)
    choose = partial(choose_scales, residual=residual[first], counts=counts[first])
    scales, noise = choose(
        [kernel[first, first] for kernel in kernels], start=(*[START_SCALE] * len(views), *START_NOISE)
    )
    sums = np.einsum("k,kij->ij", scales, kernels)
    correlations = _correlation(sums, np.diag(sums), np.diag(sums))
    # the proportions of the columns stay, so that the correlations are given
    kinds, start = ([sums, correlations**2], (1.0, START_SQUARE)) if together else ([sums], (1.0,))
    parts, noise = choose([kernel[first, first] for kernel in kinds], start=(*start, *noise))
    inverse = positive_inverse(summed_covariance(parts, kinds) + np.diag(noise[0] + noise[1] / counts))
    dual = inverse @ residual
    own = residual - dual / np.diag(inverse)
    scaled = zip(views, parts[0] * scales / sizes, strict=True)
    spread = float(own.std())
    return ContentEstimate(
        views=tuple(replace(view, scale=float(scale)) for view, scale in scaled),
        square=float(parts[1]) if together else 0.0,
        dual=tuple(dual.tolist()),
        own=dict(zip(map(str, rated["item"]), own.tolist(), strict=True)),
        scale=spread if spread > 1e-9 else 1.0,
        factors=tuple(map(tuple, _components(correlations).tolist())),
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


def _correlation(sums: np.ndarray, own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return S(i, j) / sqrt(S(i, i) S(j, j)); 0 for an item of which nothing is known."""
    return sums / np.sqrt(np.maximum(np.outer(own, other), 1e-24))


def _components(correlations: np.ndarray) -> np.ndarray:
    """Return `[items, width]` the map from an item's correlations to its leading kernel principal components."""
    from scipy import linalg

    last = len(correlations) - 1
    values, vectors = linalg.eigh(correlations, subset_by_index=(max(last - NUM_FACTORS + 1, 0), last))
    kept = values > 1e-6 * values[-1]
    return (vectors[:, kept] / np.sqrt(values[kept]))[:, ::-1]


def _products(one: Matrix, other: Matrix) -> np.ndarray:
    """Return `[items, others]` inner products of rows."""
    products = one @ other.T
    return products if isinstance(products, np.ndarray) else products.toarray()


def _squares(matrix: Matrix) -> np.ndarray:
    """Return `[items]` sums of squares."""
    squares = matrix**2 if isinstance(matrix, np.ndarray) else matrix.multiply(matrix)
    return np.asarray(squares.sum(axis=1)).reshape(-1)


def _views(column: pl.Series) -> list[View | VectorView]:
    """Say how a column of items that are fitted to is read, and which tokens occur twice or more."""
    column = _as_text(column)
    if isinstance(column.dtype, pl.List | pl.Array):
        inner = column.dtype.inner
        if inner.is_float():  # pyright: ignore[reportAttributeAccessIssue]
            vectors = VectorView.fit(column)
            return [] if vectors is None else [vectors]
        kinds = ["bag"] if inner == pl.String or inner.is_integer() else []  # pyright: ignore[reportAttributeAccessIssue]
    elif column.dtype.is_numeric():
        numbers = column.cast(pl.Float64).drop_nulls().drop_nans().to_numpy()
        if len(np.unique(numbers)) < 3:
            return []
        places = np.unique(np.quantile(numbers, np.linspace(0, 1, THRESHOLDS + 1)[1:-1]))
        return [_fitted(column, "number", tuple(repr(float(place)) for place in places), (1.0,) * len(places))]
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
        made.append(_fitted(column, kind, tokens, counts))
    return made


def _fitted(column: pl.Series, kind: str, tokens: tuple[str, ...], counts: tuple[float, ...]) -> View:
    view = View(column.name, kind, tokens, counts)
    return replace(view, fitted=tuple(map(tuple, view.read(pl.DataFrame({column.name: column})))))


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
