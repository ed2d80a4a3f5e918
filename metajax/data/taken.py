"""Who took what in training, the leading directions in which users differ in it, and how it was liked.

With x_u the 0 and 1 of a user over the items, users weighted by 1 / sqrt(their number of items) so that the busiest do
not decide, m the weighted mean and K the weighted covariance, an item i is scaled by

    c_i = ((m_i + m_half) / (2 m_half))^(-1/4),   m_half the median of m

half of the way from covariances, in which popular items are all that counts, to correlations, in which chance takings
of rare ones do. The leading eigenvectors of c K c, by the roots of their eigenvalues, are the items' factors; what they
leave of an item's own variance is its noise.

References:
    Rasmussen and Williams, 2006, "Gaussian processes for machine learning", section 2.1.
    Cremonesi, Koren and Turrin, 2010, "Performance of recommender algorithms on top-N recommendation tasks" (PureSVD).
    https://doi.org/10.1145/1864708.1864721
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float

from metajax.data.factorization import VarianceComponents, believed_factors, find_variance_components

SIZE = 0.03
"""Root mean square of the factors: what an optimiser's step of some thousandths moves in tens of steps."""
FLOOR = 0.05
"""Noise variance that every item has, in units of K."""
ROUNDING = 1e-12
MOST = 200_000
"""Users, and items, whose ratings `components` and `liked` read: half a gigabyte of products of 24 factors each."""


class Leading(NamedTuple):
    """What is known of each item by who took it; row 0 is of an item that training has not seen.

    Attributes:
        level: logarithm of the share of users who take the item, and one more, less the least there is.
        factors: `[1 + items, d]`, of root mean square SIZE; zeros from the rank of the data on.
        says: what it says to have taken the item, by the factors' measure: c_i (1 - m_i).
        log_noise: of the variance of that.
    """

    level: Float[np.ndarray, " ids"]
    factors: Float[np.ndarray, "ids d"]
    says: Float[np.ndarray, " ids"]
    log_noise: Float[np.ndarray, " ids"]


class Liked(NamedTuple):
    """Beliefs about each item's bias and factors; row 0 is of an item that training has not seen.

    Attributes:
        means: float32 `[1 + items, 1 + factors]`.
        deviations: float32 `[1 + items, 1 + factors]`.
    """

    means: np.ndarray
    deviations: np.ndarray


@dataclass(frozen=True, eq=False)
class Taken:
    """Training ratings, seen as pairs, or with what was rated how.

    Attributes:
        ratings: columns user and item, and, for `components` and `liked`, target.
        items: ids as text, in the order of their encoded ids, which count from 1.
    """

    ratings: pl.DataFrame
    items: Sequence[str]
    _found: dict[int, Leading] = field(default_factory=dict)
    _found_liked: dict[tuple[int, float, float], Liked] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Tell these pairs from others: programs are kept by what they were made of."""
        known = self.ratings.select(pl.col("user", "item", "^target$"))
        return f"Taken({known.height}, {known.hash_rows(seed=0).sum()})"

    def leading(self, factors: int) -> Leading:
        """Return the start of so many factors: the same for the same pairs in any order; found once."""
        if factors not in self._found:
            self._found[factors] = self._leading(factors)
        return self._found[factors]

    @cached_property
    def components(self) -> VarianceComponents:
        """How much users, items and single ratings vary. Ratings are read as by `liked`."""
        return find_variance_components(**self._read()[1])

    def liked(self, factors: int, *, weight: float, deviation: float) -> Liked:
        """Return what the ratings say of every item's bias and factors; see `believed_factors`.

        Biases have the priors of `components`. Of more than MOST users evenly many are read, and of items those with
        the most ratings; of the others nothing is known but the prior. Found once.

        Args:
            factors: how many.
            weight: deviation of the prior of a user's factors.
            deviation: of that of an item's.
        """
        key = (factors, weight, deviation)
        if key not in self._found_liked:
            self._found_liked[key] = self._liked(*key)
        return self._found_liked[key]

    def _liked(self, factors: int, weight: float, deviation: float) -> Liked:
        (items, ratings), components = self._read(), self.components
        prior = np.array([components.item] + [deviation] * factors, np.float32)
        liked = Liked(np.zeros((1 + len(self.items), len(prior)), np.float32), np.tile(prior, (1 + len(self.items), 1)))
        liked.means[items], liked.deviations[items] = believed_factors(
            **ratings,
            user_variances=np.array([components.user] + [weight] * factors) ** 2,
            item_variances=prior.astype(float) ** 2,
            noise_variance=components.noise**2,
        )
        return liked

    def _read(self) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the rows of the items that are read, and their ratings as `biased_factors` wants them."""
        index = pl.DataFrame({"item": self.items, "row": np.arange(1, 1 + len(self.items))})
        known = self.ratings.select("user", pl.col("item").cast(pl.String), "target").join(index, on="item")
        every = -(-known["user"].n_unique() // MOST)
        known = known.filter((pl.col("user").rank("dense") - 1) % every == 0)
        most = known.group_by("row").len().sort("len", "row", descending=[True, False]).head(MOST)
        known = known.join(most, on="row", how="semi").sort("user", "row")
        (users, user), (items, item) = (np.unique(known[name], return_inverse=True) for name in ("user", "row"))
        target = known["target"].to_numpy().astype(float)
        ratings = {"users": user, "items": item, "centred": target - target.mean()}
        return items, ratings | {"num_users": len(users), "num_items": len(items)}

    def _leading(self, factors: int) -> Leading:
        matrix = self._matrix()
        weights = 1 / np.sqrt(np.asarray(matrix.sum(axis=1)).ravel())
        weights /= weights.sum()
        mean = np.asarray(matrix.T @ weights)
        half = float(np.median(mean))
        scale = ((mean + half) / (2 * half)) ** -0.25
        weighted = matrix.multiply(np.sqrt(weights)[:, None]).tocsr()
        variance = scale**2 * (mean - mean**2)
        centred = _centred(weighted, np.sqrt(weights), mean, scale)
        vectors = _directions(centred, factors, float(variance.sum()), float(scale**2 @ mean))
        left = np.maximum(variance - np.sum(vectors**2, axis=1), 0)
        unit = SIZE**2 / (float(np.mean(vectors**2)) or 1.0)
        level = np.log(mean + 1 / len(weights))
        found = Leading(level - level.min(), np.sqrt(unit) * vectors, scale * (1 - mean), np.log(unit * (FLOOR + left)))
        return Leading(*(np.concatenate([np.zeros((1, *one.shape[1:])), one]).astype(np.float32) for one in found))

    def _matrix(self) -> Any:
        """Return sparse `[users, items]`, 1.0 where a user took an item."""
        from scipy.sparse import csr_matrix  # a service, which fits nothing, does without

        index = pl.DataFrame({"item": self.items, "column": np.arange(len(self.items))})
        pairs = self.ratings.select(pl.col("user").rank("dense") - 1, pl.col("item").cast(pl.String)).unique()
        pairs = pairs.join(index, on="item").sort("user", "column")
        at = (pairs["user"].to_numpy(), pairs["column"].to_numpy())
        return csr_matrix((np.ones(pairs.height), at), shape=(int(at[0].max()) + 1, len(self.items)))


def _centred(weighted: Any, root: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> Any:
    """Return the operator of a sparse weighted matrix less its means, scaled by column; made without filling it."""
    from scipy.sparse.linalg import LinearOperator

    def times(x: np.ndarray) -> np.ndarray:
        x = scale * x.ravel()
        return weighted @ x - root * (mean @ x)

    def transposed_times(x: np.ndarray) -> np.ndarray:
        x = x.ravel()
        return scale * (weighted.T @ x - mean * (root @ x))

    operator: Any = LinearOperator  # scipy's own types have only the constructor of what derives from it
    return operator(weighted.shape, matvec=times, rmatvec=transposed_times, dtype=float)


def _directions(centred: Any, factors: int, variance: float, total: float) -> np.ndarray:
    """Return `[items, factors]`: right singular vectors times their values, largest first; zeros beyond the rank.

    What is next to nothing beside `total`, the sum of squares before centring, is rounding; `variance` is after it.
    """
    from scipy.sparse.linalg import svds

    users, items = centred.shape
    vectors, rank = np.zeros((items, factors)), min(factors, users - 1, items - 1)
    if rank < 1 or variance <= ROUNDING * total:  # users are all alike
        return vectors
    start = np.random.default_rng(0).normal(size=min(users, items))
    _, values, found = svds(centred, k=rank, v0=start, solver="arpack")
    order = np.argsort(-values)
    values = np.where(values**2 > ROUNDING * total, values, 0)
    found = (values[:, None] * found)[order]
    heaviest = found[np.arange(rank), np.argmax(np.abs(found), axis=1)]
    vectors[:, :rank] = (found * np.where(heaviest < 0, -1, 1)[:, None]).T
    return vectors
