"""The contract: a task is data, a model and a learner are named tuples of pure functions.

Everything here is written for ONE task; `vmap`, chunking and sharding belong to the caller.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Float

PyTree = Any
Key = jax.Array
Metrics = dict[str, jax.Array]


class Examples(NamedTuple):
    """One user's interactions, padded to a number of rows.

    Attributes:
        items: leaves `[rows, ...]`: what is known about each item, or what `Learner.represent` made of it.
        target: `[rows]` stars, or 1.0 / 0.0.
        mask: `[rows]` 1.0 for a real row, 0.0 for padding.
    """

    items: PyTree
    target: Float[Array, "*tasks rows"]
    mask: Float[Array, "*tasks rows"]


class Task(NamedTuple):
    """One user as a learning problem.

    Attributes:
        user: what is known about the user; no rows axis.
        support: adapt on these.
        query: be judged on these.
    """

    user: PyTree
    support: Examples
    query: Examples


class Prediction(NamedTuple):
    """The predictive mean `[rows]`, in units of the target, and its variance where the method has one."""

    mean: Float[Array, "*tasks rows"]
    variance: Float[Array, "*tasks rows"] | None = None


@runtime_checkable
class Score(Protocol):
    """`(params, user_vector, item_vectors [rows, d]) -> scores [rows]` (or `[rows, outputs]`)."""

    def __call__(self, params: PyTree, user_vector: PyTree, item_vectors: PyTree) -> jax.Array: ...


class DenseHead(NamedTuple):
    """What a head is that is nothing but dense layers: ReLU between them, the first on concat(user, item vector).

    Attributes:
        layers: names of the layers in the head's parameters, each a "kernel" `[in, out]` and a "bias" `[out]`.
        offset: constant added to the scores.
    """

    layers: tuple[str, ...]
    offset: float


class Model(NamedTuple):
    """A recommender: two towers and a head, each a pure function.

    Attributes:
        init: key -> params, a dict with the sub-trees "user", "item" and "head". The key is consumed.
        embed_user: (params, user) -> user vector. Reads `params["user"]` only.
        embed_item: (params, items) -> item vectors, leaves `[rows, ...]`. Reads `params["item"]` only.
        score: (params, user vector, item vectors) -> `[rows]` scores. Reads `params["head"]` only.
        dense_head: that the head is nothing but dense layers, where it is: learners then may step through them faster.
    """

    init: Callable[[Key], PyTree]
    embed_user: Callable[[PyTree, PyTree], PyTree]
    embed_item: Callable[[PyTree, PyTree], PyTree]
    score: Score
    dense_head: DenseHead | None = None


class Learner(NamedTuple):
    """A meta-learning algorithm, as six pure functions and a label per parameter.

    An empty support leaves `begin` unchanged, bit for bit, and padding rows change nothing. What adapting to A and
    then to B means is told by `streaming`.

    Attributes:
        init: key -> meta_params. The key is consumed.
        represent: (meta_params, items) -> item representations: all the work that no user changes.
        begin: (meta_params, user) -> state: what is believed before any rating.
        adapt: (meta_params, state, support) -> state; `support.items` is `represent`'s output.
        predict: (meta_params, state, representations) -> Prediction.
        loss: (meta_params, task, key, progress) -> (scalar, metrics): one task's share of the outer
            objective. `task` holds raw items; `progress` in [0, 1] drives schedules; the key is consumed.
        labels: meta_params -> a label per leaf: which optax transformation moves it, "learn" by default.
        streaming: adapting to A and then to B is "exact" (adapting to A and B together), "continued" (the descent goes
            on from A: another state, but one that makes sense), or must be done "anew" from all ratings by the caller.
        compact: (state, rows) -> a smaller state with room for so many ratings, which predicts the same if the user has
            no more: of learners whose states hold ratings, and whose predictions cost by the room. None of others.
        left_out: (meta_params, state, support, representations) -> `[rows, items]` means as they were without each row
            of the support, which the state was adapted to last; what a full state had forgotten does not come back. Of
            learners that know a shorter way than adapting anew; None of others.
        widen: (meta_params, factor) -> meta_params with the same predictive means and variances a + b factor^2, where a
            is 0 but for what the members of an ensemble disagree: of learners whose intervals are set on validation
            tasks. None of others.
    """

    init: Callable[[Key], PyTree]
    represent: Callable[[PyTree, PyTree], PyTree]
    begin: Callable[[PyTree, PyTree], PyTree]
    adapt: Callable[[PyTree, PyTree, Examples], PyTree]
    predict: Callable[[PyTree, PyTree, PyTree], Prediction]
    loss: Callable[[PyTree, Task, Key, jax.Array], tuple[jax.Array, Metrics]]
    labels: Callable[[PyTree], PyTree]
    streaming: Literal["exact", "continued", "anew"] = "continued"
    compact: Callable[[PyTree, int], PyTree] | None = None
    left_out: Callable[[PyTree, PyTree, Examples, PyTree], jax.Array] | None = None
    widen: Callable[[PyTree, float], PyTree] | None = None


def learn_everything(meta_params: PyTree) -> PyTree:
    """Label every leaf "learn": the outer optimiser moves it."""
    return jax.tree.map(lambda _: "learn", meta_params)
