"""A Bayesian linear regression per user on the item vectors, whose noise level is the user's own.

rating = score(user, item) + w^T [1, item vector, item is unseen] + (sum of t over the item's tokens) + noise,
w ~ N(mu, s^2 P),   t ~ N(0, s^2 a),   noise ~ N(0, s^2 n(user, item)),
s^2 ~ inverse gamma(nu / 2, (nu - 2) s_0^2 / 2),   mu = (sum of g over the rated items) / sqrt(count + kappa)

s^2: a user who is hard to predict is known to be. With beta = r^T S^-1 r / s_0^2 of the ratings so far, r their
residuals and S their covariance over s^2, a prediction is Student-t with nu + n degrees of freedom; its mean is that of
a Gaussian, its variance a Gaussian's times (nu - 2 + beta) / (nu - 2 + n).

t: a user's own liking of a director, an actor, a word of the title, of which most are met once: all a weight each, one
variance a a group. Too many to keep a posterior of, so the state is the user's latest ratings, and every prediction
solves a system of that many rows (see `token_kernel`).

g: which items a user has rated says something too, before it is known how (SVD++).

n: the exponential of a linear model of the features; an item that training has not seen has a factor more. Such items
also have a level of their own for every user: their estimates are wrong together, and not everybody likes what is new.

How wide all predictions are has a factor of its own, which no likelihood learns: `widen` sets it on validation tasks.

P is diagonal and, but for the user's own bias and that level, given: item vectors are learned, and their length does
the same. With `tables` they are beliefs (see `uncertain_tables`), trained by sampling; of items that are known by their
ids alone they begin at factors that explain the ratings, on a prior that is given too.

The outer loss is the chain of one-step-ahead predictions over all rows of a task, support and query in their random
order: every size of support is trained for at once, and without g the chain sums to the marginal likelihood. In a share
of the tasks the items lose their ids, so that the shared model learns to predict what nobody has rated.

References:
    Shah, Wilson and Ghahramani, 2014, "Student-t processes as alternatives to Gaussian processes", section 3.
    https://arxiv.org/abs/1402.4306
    Harrison et al., 2018, "Meta-learning priors for efficient online Bayesian regression" (ALPaCA).
    https://arxiv.org/abs/1807.08912
    Koren, 2008, "Factorization meets the neighborhood" (SVD++), eq. 15. https://doi.org/10.1145/1401890.1401944
    Volkovs et al., 2017, "DropoutNet: addressing cold start in recommender systems".
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metajax.errors import ConfigError
from metajax.learners.gaussian import check_likelihood
from metajax.learners.one_step_ahead import chain_log_likelihood
from metajax.learners.ridge import linear_features
from metajax.learners.support_memory import empty_memory, places, remember
from metajax.learners.token_kernel import shared_kernel, sum_own, sum_weights, token_weights
from metajax.learners.triangular import cholesky, solve_factored, solve_lower
from metajax.learners.uncertain_tables import ItemStart, beliefs_divergence, draw_vectors, start_of_tower
from metajax.losses import Loss
from metajax.types import Examples, Key, Learner, Metrics, Model, Prediction, PyTree, Task, learn_everything


class ItemView(NamedTuple):
    """Items as the learner sees them.

    Attributes:
        vectors: `[rows, d]` of the model.
        noise_vectors: `[rows, ...]` of the noise model.
        rated: `[rows, 1 + d]` g.
        unseen: `[rows]` 1.0 where training has not seen the item.
        tokens: int `[rows, widths]`, group after group.
    """

    vectors: jax.Array
    noise_vectors: jax.Array
    rated: jax.Array
    unseen: jax.Array
    tokens: jax.Array


class RatedItem(NamedTuple):
    """What is kept of a rated item.

    Attributes:
        features: `[rows, 1 + d + 1]` a constant, the item vector, whether the item is unseen.
        tokens: int `[rows, widths]`.
        deviation: `[rows]` of its noise, over s.
    """

    features: jax.Array
    tokens: jax.Array
    deviation: jax.Array


class StudentState(NamedTuple):
    """One user.

    Attributes:
        user: vector of the model.
        noise_user: vector of the noise model.
        ratings: the latest, `[max_support]` rows of `RatedItem`; targets less the prior mean.
        rated: `[1 + d]` sum of g over all ratings.
        count: number of all ratings.
    """

    user: PyTree
    noise_user: PyTree
    ratings: Examples
    rated: jax.Array
    count: jax.Array


def student_t(
    model: Model,
    loss: Loss | None = None,
    *,
    noise_model: Model,
    item_width: int,
    tables: Model | None = None,
    start: ItemStart | None = None,
    rated: Model | None = None,
    token_widths: Sequence[int] = (),
    num_tokens: int = 1,
    max_support: int = 100,
    training_rows: int = 0,
    prior_variance: float = 0.15,
    bias_variance: float = 0.25,
    unseen_variance: float = 0.1,
    token_variance: float = 0.05,
    rated_deviation: float = 0.09,
    noise_deviation: float = 0.1,
    noise: float = 0.9,
    freedom: float = 10.0,
    unseen: float = 0.2,
) -> Learner:
    """Build the learner.

    Args:
        model: its item vectors `[rows, d]` are the features, its score for mu = 0 is the prior mean.
        loss: squared error, which the likelihood generalises; nothing else.
        noise_model: its score is the logarithm of a row's noise variance in units of the user's.
        item_width: d, the length of an item vector.
        tables: a model whose item tower has tables of `model`'s and nothing else; beliefs are kept about them. None
            for point estimates.
        start: of `tables`' parts; None for the model's own parameters and priors that are learned.
        rated: its item vectors `[rows, 1 + d]` are g. None for mu = 0.
        token_widths: of the groups of tokens in the items' column "tokens", if there is one.
        num_tokens: how many there are, 0 included.
        max_support: ratings that a state holds; beyond, the oldest are forgotten.
        training_rows: number of ratings that the priors of all parameters are weighed against; 0 for no priors.
        prior_variance: of a weight of the item vector, in units of the noise variance; positive.
        bias_variance: of the constant, the user's own bias, at the start; positive.
        unseen_variance: of a user's own level of unseen items, at the start; 0 for no such level.
        token_variance: a of every group at the start, in units of the noise variance; positive.
        rated_deviation: of the prior of g; positive.
        noise_deviation: of the prior of the noise model's parameters; positive.
        noise: s_0 at the start, in units of the target; positive.
        freedom: nu at the start; above 2.
        unseen: share of the training tasks whose items lose their "id", in [0, 1); without such a column nothing is
            lost.

    Raises:
        ConfigError: if a number is out of range, or the loss is another.
    """
    check_likelihood(loss)
    positive = {"prior_variance": prior_variance, "bias_variance": bias_variance, "token_variance": token_variance}
    positive |= {"rated_deviation": rated_deviation, "noise_deviation": noise_deviation, "noise": noise}
    for name, value in positive.items():
        if not value > 0:
            raise ConfigError(f"{name} of a Student-t regression must be positive, got {value}.")
    if not (freedom > 2 and 0 <= unseen < 1 and min(training_rows, unseen_variance) >= 0 and max_support > 0):
        raise ConfigError(
            "A Student-t regression wants freedom above 2, unseen in [0, 1), training_rows and unseen_variance of 0 or "
            f"more and max_support of 1 or more, got {freedom=}, {unseen=}, {training_rows=}, {unseen_variance=}, "
            f"{max_support=}."
        )
    if start is not None and not (tables is not None and all(prior > 0 for prior in start.priors.values())):
        raise ConfigError(f"Priors at the start of a Student-t regression are positive, of tables, got {start.priors}.")

    def init(key: Key) -> PyTree:
        keys = jax.random.split(key, 4)
        meta_params = {
            "model": model.init(keys[0]),
            "noise_model": noise_model.init(keys[1]),
            "log_bias_variance": jnp.log(jnp.asarray(bias_variance, float)),
            "log_noise": jnp.log(jnp.asarray(noise, float)),
            "log_freedom": jnp.log(jnp.asarray(freedom - 2, float)),
            "log_unseen_noise": jnp.zeros((), float),
            "log_spread": jnp.zeros((), float),
        }
        if unseen_variance:
            meta_params["log_unseen_variance"] = jnp.log(jnp.asarray(unseen_variance, float))
        if token_widths:
            meta_params["log_token_variances"] = jnp.full(len(token_widths), jnp.log(token_variance), float)
        if tables is not None:
            meta_params["beliefs"] = start_of_tower(tables.init(keys[2])["item"], start)
        if start is not None and start.means is not None:
            item = meta_params["model"]["item"] | jax.tree.map(jnp.asarray, dict(start.means))
            head = meta_params["model"]["head"]
            meta_params["model"] |= {
                "item": item,
                "head": head | {"bias": jnp.full_like(head["bias"], start.user_level)},
            }
        if rated is not None:
            meta_params["rated"] = {"item": rated.init(keys[3])["item"], "log_kappa": jnp.log(jnp.asarray(3.0, float))}
        return meta_params

    def represent(meta_params: PyTree, items: PyTree) -> ItemView:
        vectors = model.embed_item(meta_params["model"]["item"], items)
        noise_vectors = noise_model.embed_item(meta_params["noise_model"]["item"], items)
        is_unseen = items["id"] == 0 if "id" in items else jnp.zeros(vectors.shape[0], bool)
        says = jnp.zeros((vectors.shape[0], 1 + item_width), vectors.dtype)
        if rated is not None:
            says = rated.embed_item(meta_params["rated"]["item"], items)
        tokens = items["tokens"] if token_widths else jnp.zeros((vectors.shape[0], 0), jnp.int32)
        return ItemView(vectors, noise_vectors, says, is_unseen.astype(vectors.dtype), tokens)

    def prior_variances(meta_params: PyTree) -> jax.Array:
        own = jnp.exp(meta_params["log_bias_variance"])
        of_unseen = jnp.exp(meta_params["log_unseen_variance"]) if unseen_variance else jnp.zeros_like(own)
        return jnp.full(2 + item_width, prior_variance, own.dtype).at[0].set(own).at[-1].set(of_unseen)

    def features_of(items: ItemView) -> jax.Array:
        return jnp.concatenate([linear_features(items.vectors), items.unseen[:, None]], axis=1)

    def begin(meta_params: PyTree, user: PyTree) -> StudentState:
        dtype = meta_params["log_noise"].dtype
        nothing = jnp.zeros(1 + item_width, dtype)
        features = jnp.zeros(2 + item_width, dtype)
        kept = RatedItem(features, jnp.zeros(sum(token_widths), jnp.int32), nothing[0])
        return StudentState(
            user=model.embed_user(meta_params["model"]["user"], user),
            noise_user=noise_model.embed_user(meta_params["noise_model"]["user"], user),
            ratings=empty_memory(max_support, kept, dtype),
            rated=nothing,
            count=nothing[0],
        )

    def prior_mean(meta_params: PyTree, state: StudentState, items: ItemView) -> jax.Array:
        return model.score(meta_params["model"]["head"], state.user, items.vectors)

    def deviation(meta_params: PyTree, state: StudentState, items: ItemView) -> jax.Array:
        """Return `[rows]` the noise's standard deviation over s."""
        logs = noise_model.score(meta_params["noise_model"]["head"], state.noise_user, items.noise_vectors)
        return jnp.exp(0.5 * (logs + meta_params["log_unseen_noise"] * items.unseen))

    def covariance(meta_params: PyTree, one: RatedItem, other: RatedItem) -> jax.Array:
        """Return `[rows, columns]` of the signal, over s^2."""
        products = one.features @ jnp.diag(prior_variances(meta_params)) @ other.features.T
        if not token_widths:
            return products
        return products + shared_kernel(
            jnp.exp(meta_params["log_token_variances"]), one.tokens, other.tokens, token_widths
        )

    def keep(meta_params: PyTree, state: StudentState, rows: Examples) -> Examples:
        items = RatedItem(features_of(rows.items), rows.items.tokens, deviation(meta_params, state, rows.items))
        return Examples(items, rows.target - prior_mean(meta_params, state, rows.items), rows.mask)

    def adapt(meta_params: PyTree, state: StudentState, support: Examples) -> StudentState:
        return state._replace(
            ratings=remember(state.ratings, keep(meta_params, state, support)),
            rated=state.rated + support.mask @ support.items.rated,
            count=state.count + jnp.sum(support.mask),
        )

    def mean_weights(meta_params: PyTree, says: jax.Array, count: jax.Array) -> jax.Array:
        """Return mu of the sum of g over so many ratings; 0 for the level of unseen items."""
        says = jnp.pad(says, [(0, 0)] * (says.ndim - 1) + [(0, 1)])
        if rated is None:
            return jnp.zeros_like(says)
        return says * jax.lax.rsqrt(count + jnp.exp(meta_params["rated"]["log_kappa"]))

    def factor(meta_params: PyTree, ratings: Examples) -> tuple[jax.Array, jax.Array]:
        """Return 1 over the noise's deviation (0 of padding), and the factor of the ratings' covariance over it."""
        kept, _, mask = ratings
        scale = mask / jnp.where(mask > 0, kept.deviation, 1)
        known = covariance(meta_params, kept, kept) * scale[:, None] * scale[None, :]
        return scale, cholesky(known + jnp.eye(len(mask), dtype=known.dtype))

    def predict(meta_params: PyTree, state: StudentState, representations: ItemView) -> Prediction:
        kept, target, mask = state.ratings
        mu = mean_weights(meta_params, state.rated, state.count)
        scale, lower = factor(meta_params, state.ratings)
        whitened = solve_lower(lower, ((target - kept.features @ mu) * scale)[:, None])
        dual = solve_lower(lower, whitened, transposed=True)[:, 0] * scale
        features = features_of(representations)
        weights = mu + prior_variances(meta_params) * (kept.features.T @ dual)
        of_vectors = representations.vectors @ weights[1:-1] + representations.unseen * weights[-1]
        mean = prior_mean(meta_params, state, representations) + weights[0] + of_vectors  # features, not put together
        if token_widths:  # the kernel times the dual, without the kernel
            a = jnp.exp(meta_params["log_token_variances"])
            own_weights = token_weights(a, kept.tokens, dual, widths=token_widths, size=num_tokens)
            mean = mean + sum_weights(own_weights, representations.tokens)
        its = RatedItem(features, representations.tokens, deviation(meta_params, state, representations))
        half = solve_lower(lower, covariance(meta_params, kept, its) * scale[:, None])
        of_signal = jnp.maximum(own_variance(meta_params, its) - jnp.sum(half**2, axis=0), 0)
        free = jnp.exp(meta_params["log_freedom"])
        surprise = jnp.sum(whitened**2) * jnp.exp(-2 * meta_params["log_noise"])
        level = (free + surprise) / (free + jnp.sum(mask))
        of_noise = jnp.exp(2 * (meta_params["log_noise"] + meta_params["log_spread"]))
        return Prediction(mean, of_noise * level * (its.deviation**2 + of_signal))

    def own_variance(meta_params: PyTree, items: RatedItem) -> jax.Array:
        """Return `[rows]` the diagonal of the covariance."""
        squares = items.features**2 @ prior_variances(meta_params)
        if not token_widths:
            return squares
        return squares + sum_own(jnp.exp(meta_params["log_token_variances"]), items.tokens, token_widths)

    def outer_loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        del progress
        unseen_key, table_key = jax.random.split(key)
        rows = jax.tree.map(lambda one, other: jnp.concatenate([one, other]), task.support, task.query)
        raw = rows.items
        if unseen > 0 and "id" in raw:
            raw = raw | {"id": jnp.where(jax.random.uniform(unseen_key) >= unseen, raw["id"], 0)}
        items = represent(meta_params, raw)
        if tables is not None:
            drawn = draw_vectors(table_key, tables, meta_params["beliefs"], raw, items.vectors)
            items = items._replace(vectors=drawn)
        state = begin(meta_params, task.user)
        kept, target, mask = keep(meta_params, state, rows._replace(items=items))
        scale = mask / kept.deviation
        residual = jnp.where(mask > 0, target, 0)[:, None]
        if rated is not None:  # a column per row: the residuals as they are for mu before that row
            says, count = mask[:, None] * items.rated, jnp.cumsum(mask) - mask
            mus = mean_weights(meta_params, jnp.cumsum(says, axis=0) - says, count[:, None])
            residual = residual - kept.features @ mus.T
        each = chain_log_likelihood(
            covariance(meta_params, kept, kept) * scale[:, None] * scale[None, :],
            residual * (scale * jnp.exp(-meta_params["log_noise"]))[:, None],
            mask,
            jnp.exp(meta_params["log_freedom"]) + 2,
        ) - mask * (meta_params["log_noise"] + jnp.log(kept.deviation))
        value = -jnp.sum(each) / jnp.maximum(jnp.sum(mask), 1)
        return (value + priors(meta_params) / training_rows if training_rows else value), {}

    def priors(meta_params: PyTree) -> jax.Array:
        """Return minus the log of all parameters' priors, without constants: N(0, 1) where nothing else is said."""
        squares = lambda tree: jax.tree.reduce(jnp.add, jax.tree.map(lambda leaf: 0.5 * jnp.sum(leaf**2), tree))  # noqa: E731
        own = dict(meta_params["model"])
        of_tables = 0.0 if tables is None else beliefs_divergence(own.pop("item"), meta_params["beliefs"])
        of_rated = 0.0 if rated is None else squares(meta_params["rated"]["item"]) / rated_deviation**2
        of_noise = squares(meta_params["noise_model"]) / noise_deviation**2
        return squares(own) + of_noise + of_tables + of_rated

    def compact(state: StudentState, rows: int) -> StudentState:
        return state._replace(ratings=jax.tree.map(lambda leaf: leaf[-rows:], state.ratings))

    def left_out(meta_params: PyTree, state: StudentState, support: Examples, representations: ItemView) -> jax.Array:
        """By the inverse B of the ratings' covariance: without row j, B z becomes B z - B_j (B z)_j / B_jj.

        Of 64 rows that takes a twelfth of the time of a factor for each.
        """
        kept, target, mask = state.ratings
        scale, lower = factor(meta_params, state.ratings)
        inverse = solve_factored(lower, jnp.eye(len(mask), dtype=scale.dtype))
        place = places(len(mask), support.mask).astype(scale.dtype)
        own = support.mask[:, None]
        mus = mean_weights(meta_params, state.rated[None] - own * support.items.rated, state.count - own)
        whitened = (target[:, None] - kept.features @ mus.T) * scale[:, None] * (1 - place)
        dual, at_place = inverse @ whitened, inverse @ place
        moved = jnp.sum(dual * place, axis=0) / jnp.where(
            jnp.any(place > 0, axis=0), jnp.sum(at_place * place, axis=0), 1
        )
        dual = (dual - at_place * moved[None]) * scale[:, None]
        features = features_of(representations)
        its = RatedItem(features, representations.tokens, jnp.ones(len(features), scale.dtype))
        prior = prior_mean(meta_params, state, representations)
        return prior[None] + mus @ features.T + dual.T @ covariance(meta_params, kept, its)

    def labels(meta_params: PyTree) -> PyTree:
        labels = learn_everything(meta_params) | {"log_spread": "freeze"}
        if start is None:
            return labels
        of_priors, of_model = labels["beliefs"]["log_priors"], labels["model"]
        for part in start.priors:
            of_priors[part] = jax.tree.map(lambda _: "freeze", of_priors[part])
        of_model["head"]["bias"] = "freeze"
        if "constant" in of_model["user"]["weights"]:  # nothing is known of users: that is a level too
            of_model["user"]["weights"]["constant"] = "freeze"
        return labels

    def widen(meta_params: PyTree, factor: float) -> PyTree:
        return meta_params | {"log_spread": meta_params["log_spread"] + jnp.log(factor)}

    return Learner(init, represent, begin, adapt, predict, outer_loss, labels, "exact", compact, left_out, widen)
