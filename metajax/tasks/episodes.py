"""Episodes: random drawings of support and query from users' histories, inside jit, from a key.

The host sends keys, not rows. Users are grouped into buckets by the length of their history, so that short users do not
pay for long ones; a meta-batch holds a fixed share of tasks of every bucket, weighted back to the share of users.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from metajax.errors import ConfigError, TaskError
from metajax.tasks.catalogue import Catalogue, Histories, Order, StoredHistories, lengths, task_from_rows
from metajax.types import Key, Task

MOST_DRAWN = 20_000_000
"""Of more ratings than this, `by_rows` draws users about as often as they have ratings."""
FEWEST = 2
"""Users of whom a meta-batch would hold fewer tasks than this join the next longer bucket: padding a task costs less
than another bucket, for which XLA compiles all that a step does once more (of the flagship five to seven seconds)."""


@dataclass(frozen=True)
class EpisodeConfig:
    """How training tasks are drawn."""

    query_rows: int = 10
    """Rows to be judged on; a user with fewer than twice as many rows gives half of them."""
    min_support: int = 0
    """Fewest rows to adapt on; a user that has fewer gives all."""
    max_support: int = 90
    """Most rows to adapt on; the size is drawn uniformly between min_support and what the user has, up to this."""
    min_rows: int = 2
    """Users with fewer ratings than this give no training task."""
    by_rows: bool = False
    """Let ratings count alike instead of users: a user is drawn as often as it has ratings, and buckets weigh by their
    rows."""
    order: Order = "random"
    """"random": support and query are a random split; "time": the support comes before the query; "domain": the support
    is of the source domain, the query of the target domain."""
    buckets: tuple[int, ...] = (32, 64)
    """Rows per task of the shorter buckets; the longest always holds max_support + query_rows."""

    def __post_init__(self) -> None:
        """Check what can be checked without data."""
        if self.query_rows < 1 or self.min_rows < 1:
            raise ConfigError(f"query_rows and min_rows must be 1 or more, got {self.query_rows} and {self.min_rows}.")
        if not 0 <= self.min_support <= self.max_support:
            raise ConfigError(
                f"Support sizes need 0 <= min_support <= max_support, got {self.min_support} and {self.max_support}."
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Rows per task of every bucket, ascending."""
        longest = self.max_support + self.query_rows
        return (*sorted(width for width in set(self.buckets) if width < longest), longest)


class Bucket(NamedTuple):
    """Training users of similar length.

    Attributes:
        rows: rows per task; longer histories give a random (or, by time, a contiguous) part of this many rows.
        users: int `[n]` positions in the user table; one that is drawn more often is there as many times.
        tasks: how many tasks of a meta-batch come from here.
        weight: this bucket's share of all training users, or of their ratings.
    """

    rows: int
    users: Int[Array, " n"]
    tasks: int
    weight: float


def make_buckets(
    histories: Histories | StoredHistories, config: EpisodeConfig, *, tasks_per_step: int
) -> tuple[Bucket, ...]:
    """Group the users that have enough rows, and share a meta-batch out among the groups that are large enough.

    Args:
        histories: training histories; users without rows are passed over.
        config: episode sizes.
        tasks_per_step: size of a meta-batch; a bucket has two tasks of it at least, the longest one.

    Raises:
        TaskError: if no user has `min_rows` rows, or for order="domain" any in the target domain.
    """
    have = lengths(histories)
    enough = have >= config.min_rows
    where = ""
    if config.order == "domain":
        where = ", one of them in the target domain"
        if histories.source_rows is None:
            raise TaskError("Episodes in the order of domains need histories that know them: give `in_target`.")
        enough &= have > np.asarray(histories.source_rows)
    eligible = np.flatnonzero(enough)
    if not len(eligible):
        raise TaskError(
            f"No user has {config.min_rows} ratings or more{where} (the longest history has {have.max(initial=0)}). "
            "Lower `min_rows`."
        )
    index = np.minimum(np.searchsorted(config.widths, have[eligible]), len(config.widths) - 1)
    counts = have[eligible] if config.by_rows else np.ones(len(eligible))
    coarseness = max(1.0, float(counts.sum()) / MOST_DRAWN)
    buckets, here = [], np.zeros(len(eligible), bool)
    for position, rows in enumerate(config.widths):
        here |= index == position
        share = float(counts[here].sum() / counts.sum())
        if not here.any() or (share * tasks_per_step < FEWEST and (index > position).any()):
            continue
        users = eligible[here]
        if config.by_rows:
            users = np.repeat(users, np.maximum(1, np.round(have[users] / coarseness)).astype(int))
        buckets.append(Bucket(rows, jnp.asarray(users, jnp.int32), max(1, round(share * tasks_per_step)), share))
        here = np.zeros_like(here)
    return tuple(buckets)


def sample_tasks(key: Key, bucket: Bucket, histories: Histories, catalogue: Catalogue, config: EpisodeConfig) -> Task:
    """Draw `bucket.tasks` episodes; leaves get a leading tasks axis. The key is consumed."""
    keys = jax.random.split(key, bucket.tasks)
    return jax.vmap(lambda one: sample_task(one, bucket, histories, catalogue, config))(keys)


def sample_task(key: Key, bucket: Bucket, histories: Histories, catalogue: Catalogue, config: EpisodeConfig) -> Task:
    """Draw a user of the bucket and split the user's rows into support and query. The key is consumed."""
    keys = jax.random.split(key, 4)
    user = bucket.users[jax.random.randint(keys[0], (), 0, bucket.users.shape[0], jnp.int32)]
    start, end = histories.offsets[user], histories.offsets[user + 1]
    return split_rows(keys[1:], bucket.rows, user, start, end - start, histories, catalogue, config)


def split_rows(
    keys: Key,
    rows: int,
    user: Array,
    start: Array,
    have: Array,
    histories: Histories,
    catalogue: Catalogue,
    config: EpisodeConfig,
) -> Task:
    """Split a user's rows, `have` of them from `start` on, into support and query.

    Args:
        keys: `[3]`, consumed: of the window, the order and the size of the support.
        rows: of the task.
        user: position in the user table.
        start: of the user's rows in `histories`.
        have: how many there are.
        histories: whose offsets are not read.
        catalogue: features.
        config: sizes and order.
    """
    window_key, order_key, size_key = keys
    arange = partial(jnp.arange, dtype=jnp.int32)
    randint = partial(jax.random.randint, shape=(), dtype=jnp.int32)
    query_width = max(1, min(config.query_rows, rows // 2))
    support_width = rows - query_width

    kept = jnp.minimum(have, rows)
    num_source = have if histories.source_rows is None else histories.source_rows[user]
    if config.order == "domain":
        num_query = jnp.minimum(query_width, have - num_source)
        most = jnp.minimum(min(config.max_support, support_width), num_source)
    else:
        num_query = jnp.minimum(config.query_rows, jnp.maximum(1, kept // 2))
        most = jnp.minimum(config.max_support, kept - num_query)
    num_support = randint(size_key, minval=jnp.minimum(config.min_support, most), maxval=most + 1)

    # positions: support, then query, in the order of a random permutation, of time, or of one in each domain
    first_support, first_query = 0, num_support
    if config.order == "random":
        positions = _some_of(window_key, order_key, start, have, rows)
    elif config.order == "domain":
        (window_key, other_window_key), (order_key, other_order_key) = map(jax.random.split, (window_key, order_key))
        in_source = _some_of(window_key, order_key, start, num_source, support_width)
        first, count = start + num_source, have - num_source
        in_target = _some_of(other_window_key, other_order_key, first, count, query_width)
        positions, first_query = jnp.concatenate([in_source, in_target]), support_width
    else:
        window = randint(window_key, minval=0, maxval=have - kept + 1)
        positions = start + window + arange(rows)
        first_query = kept - num_query
        first_support = first_query - num_support  # the support ends where the query begins

    def take(first: jax.Array | int, count: jax.Array, width: int) -> tuple[Array, Array, Array]:
        real = arange(width) < count
        at = jnp.where(real, positions[jnp.minimum(first + arange(width), rows - 1)], start)
        mask = real.astype(histories.target.dtype)
        return histories.items[at], histories.target[at] * mask, mask

    support = take(first_support, num_support, support_width)
    query = take(first_query, num_query, query_width)
    return task_from_rows(catalogue, user, support, query)


def _some_of(window_key: Key, order_key: Key, first: Array, count: Array, width: int) -> Int[Array, " width"]:
    """Draw positions of `width` of the `count` rows that begin at `first`, in random order. The keys are consumed.

    Rows are stored shuffled, so that a window of them is random. With fewer than `width`, all come first, then repeats.
    """
    count = jnp.maximum(count, 1)
    window = jax.random.randint(window_key, (), 0, count, jnp.int32)
    sort_by = jnp.where(jnp.arange(width, dtype=jnp.int32) < count, jax.random.uniform(order_key, (width,)), 2.0)
    return first + (window + jnp.argsort(sort_by).astype(jnp.int32)) % count
