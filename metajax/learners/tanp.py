"""TaNP: a neural process whose decoder is modulated by which of K kinds of task a user belongs to.

q(z | D) = N(mu, sigma^2) of the mean over D of an encoding of (user, item, y)
t        = the mean over S of a second encoding;   c_k ~ (1 + ||t - a_k||^2)^-1, the Student-t kernel to K centroids
o        = t + sum_k c_k a_k;   every layer of the decoder is ReLU((1 + gamma(o)) * (W x + b) + beta(o)), with tanh
loss     = NLL of Q, z ~ q(z | S u Q)  +  KL(q(z | S u Q) || q(z | S))  +  clustering_weight KL(p || c),
           p_k ~ c_k^2 / f_k, f_k the frequency of centroid k over tasks

Adapted to S alone z is the mean of q(z | S), and nothing of the query is read. Both means are running sums, so that
one rating at a time is exactly all at once.

It follows the authors' code, with these differences. The process is on what the shared model leaves of the ratings.
The decoder gives a variance, and the loss has the Gaussian likelihood in place of a squared error; it is averaged over
the query alone, not S u Q. Modulation scales by 1 + gamma instead of gamma, so that without any the decoder is a plain
one. The kernel takes the squared distance, as the Student-t distribution does. f is not the sum over the meta-batch,
which one task does not see, but a running mean: a leaf labelled "write". Before any rating the two means are learned.

References:
    Lin et al., 2021, "Task-adaptive neural process for user cold-start recommendation". https://arxiv.org/abs/2103.06137
    Xie et al., 2016, "Unsupervised deep embedding for clustering analysis", eqs. 1 to 3, for c, KL(p || c) and p.
    https://arxiv.org/abs/1511.06335
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax.learners.dense import dense, float_type, init_dense, layer, side_by_side
from metajax.learners.episode import represent_task
from metajax.learners.gaussian import bounded_variance, check_neural_process, divergence, negative_log_likelihood
from metajax.losses import Loss
from metajax.types import Examples, Key, Learner, Metrics, Model, Prediction, PyTree, Task

FREQUENCY_RATE = 0.1


class TanpState(NamedTuple):
    """One user.

    Attributes:
        user: the vector that the shared model sees.
        latent_total: `[width]` sum of the ratings' encodings, of whose mean q(z) is made.
        task_total: `[width]` sum of their encodings for the task's identity.
        count: how many ratings there were.
    """

    user: jax.Array
    latent_total: jax.Array
    task_total: jax.Array
    count: jax.Array


def tanp(
    model: Model,
    loss: Loss | None = None,
    *,
    user_width: int,
    item_width: int,
    width: int = 64,
    latent_width: int = 32,
    num_clusters: int = 10,
    clustering_weight: float = 0.1,
    min_deviation: float = 0.1,
) -> Learner:
    """Build the learner.

    Args:
        model: the towers are read by encoders and decoder, its score is the mean before the decoder's correction.
        loss: squared error, which the likelihood of a Gaussian generalises; nothing else.
        user_width: length of the model's user vector.
        item_width: length of an item vector.
        width: of the task's embedding and of hidden layers (two in each encoder, three in the decoder).
        latent_width: of z.
        num_clusters: K, centroids of tasks.
        clustering_weight: of KL(p || c); 0 leaves it out.
        min_deviation: least predictive standard deviation, in units of the target; positive.

    Raises:
        ConfigError: if the loss is another, or a number other than the clustering weight is not positive.
    """
    sizes = {"width": width, "latent_width": latent_width, "num_clusters": num_clusters}
    check_neural_process(loss, **sizes, min_deviation=min_deviation)

    def init(key: Key) -> PyTree:
        keys = iter(jax.random.split(key, 7))
        params = model.init(next(keys))
        dtype = float_type(params)
        encoder = (user_width + item_width + 1, width, width, width)
        decoder = (user_width + item_width + latent_width, width, width, width, 2)
        return {
            "model": params,
            "latent_encoder": init_dense(next(keys), encoder, dtype),
            "task_encoder": init_dense(next(keys), encoder, dtype),
            "latent": init_dense(next(keys), (width, width, 2 * latent_width), dtype, output_scale=0.1),
            "decoder": init_dense(next(keys), decoder, dtype, output_scale=0.01),
            "modulation": init_dense(next(keys), (width, 2 * 3 * width), dtype, output_scale=0.1),
            "centroids": jax.random.normal(next(keys), (num_clusters, width), dtype) / width**0.5,
            "frequency": jnp.full(num_clusters, 1 / num_clusters, dtype),
            "latent_prior": jnp.zeros(width, dtype),
            "task_prior": jnp.zeros(width, dtype),
        }

    def represent(meta_params: PyTree, items: PyTree) -> jax.Array:
        return model.embed_item(meta_params["model"]["item"], items)

    def begin(meta_params: PyTree, user: PyTree) -> TanpState:
        nothing = jnp.zeros_like(meta_params["latent_prior"])
        return TanpState(model.embed_user(meta_params["model"]["user"], user), nothing, nothing, nothing[0])

    def adapt(meta_params: PyTree, state: TanpState, support: Examples) -> TanpState:
        residual = support.target - model.score(meta_params["model"]["head"], state.user, support.items)
        inputs = side_by_side(len(residual), state.user, support.items, residual[:, None])

        def total(encoder: PyTree) -> jax.Array:
            return jnp.sum(jnp.where(support.mask[:, None] > 0, dense(encoder, inputs), 0), axis=0)

        return TanpState(
            state.user,
            state.latent_total + total(meta_params["latent_encoder"]),
            state.task_total + total(meta_params["task_encoder"]),
            state.count + jnp.sum(support.mask),
        )

    def latent(meta_params: PyTree, state: TanpState) -> tuple[jax.Array, jax.Array]:
        """Return mean and variance of q(z | the ratings so far)."""
        pooled = _mean(state.latent_total, state.count, meta_params["latent_prior"])
        mean, log_variance = jnp.split(dense(meta_params["latent"], pooled), 2)
        return mean, jnp.exp(log_variance)

    def identity(meta_params: PyTree, state: TanpState) -> tuple[jax.Array, jax.Array]:
        """Return the assignment c `[K]` and the task's embedding o."""
        embedding = _mean(state.task_total, state.count, meta_params["task_prior"])
        assignment = soft_assignment(embedding, meta_params["centroids"])
        return assignment, embedding + assignment @ meta_params["centroids"]

    def decode(meta_params: PyTree, state: TanpState, z: jax.Array, item_vectors: jax.Array) -> Prediction:
        _, embedding = identity(meta_params, state)
        modulation = jnp.tanh(dense(meta_params["modulation"], embedding)).reshape(2, 3, width)
        score = model.score(meta_params["model"]["head"], state.user, item_vectors)
        inputs = side_by_side(len(score), state.user, item_vectors, z)
        outputs = modulated_dense(meta_params["decoder"], inputs, modulation[0], modulation[1])
        return Prediction(score + outputs[:, 0], bounded_variance(outputs[:, 1], min_deviation))

    def predict(meta_params: PyTree, state: TanpState, representations: PyTree) -> Prediction:
        mean, _ = latent(meta_params, state)
        return decode(meta_params, state, mean, representations)

    def outer_loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        del progress
        task, _ = represent_task(represent, meta_params, task)
        state = adapt(meta_params, begin(meta_params, task.user), task.support)
        prior_mean, prior_variance = latent(meta_params, state)
        mean, variance = latent(meta_params, adapt(meta_params, state, task.query))
        z = mean + jnp.sqrt(variance) * jax.random.normal(key, mean.shape, mean.dtype)
        likelihood = negative_log_likelihood(decode(meta_params, state, z, task.query.items), task.query)
        kl = divergence(mean, variance, prior_mean, prior_variance)
        assignment, _ = identity(meta_params, state)
        frequency = jax.lax.stop_gradient(meta_params["frequency"])
        clustering = clustering_loss(assignment, frequency)
        written = _write(meta_params["frequency"], assignment)
        metrics = {"negative_log_likelihood": likelihood, "kl": kl, "clustering": clustering}
        return likelihood + kl + clustering_weight * clustering + written, metrics

    def labels(meta_params: PyTree) -> PyTree:
        return jax.tree.map(lambda _: "learn", meta_params) | {"frequency": "write"}

    return Learner(init, represent, begin, adapt, predict, outer_loss, labels, "exact")


def soft_assignment(embedding: Float[Array, " d"], centroids: Float[Array, "clusters d"]) -> Float[Array, " clusters"]:
    """Return c: the Student-t kernel of one degree of freedom to each centroid, normalised (Xie, eq. 1)."""
    kernel = 1 / (1 + jnp.sum((embedding[None, :] - centroids) ** 2, axis=1))
    return kernel / jnp.sum(kernel)


def clustering_loss(assignment: Float[Array, " clusters"], frequency: Float[Array, " clusters"]) -> Float[Array, ""]:
    """Return KL(p || c), p_k ~ c_k^2 / f_k (Xie, eqs. 2 and 3): towards assignments that are sure, and evenly many.

    The gradient passes through p too, as in the code of TaNP's authors (Xie holds p fixed).
    """
    sharpened = assignment**2 / frequency
    target = sharpened / jnp.sum(sharpened)
    return jnp.sum(target * (jnp.log(target) - jnp.log(assignment)))


def modulated_dense(
    params: PyTree,
    inputs: Float[Array, "rows d"],
    scales: Float[Array, "layers width"],
    shifts: Float[Array, "layers width"],
) -> Float[Array, "rows outputs"]:
    """Apply dense layers, each hidden one as ReLU((1 + scale) * (W x + b) + shift); zeros give `dense`."""
    for number in range(len(params) - 1):
        hidden = layer(params[f"layers_{number}"], inputs)
        inputs = jax.nn.relu((1 + scales[number])[None, :] * hidden + shifts[number][None, :])
    return layer(params[f"layers_{len(params) - 1}"], inputs)


def _mean(total: Array, count: Array, prior: Array) -> Array:
    return jnp.where(count > 0, total / jnp.maximum(count, 1), prior)


def _write(frequency: Array, assignment: Array) -> Array:
    """Return 0, with the gradient frequency - (running mean after this task) by the frequency and none by all else."""
    away = jax.lax.stop_gradient(FREQUENCY_RATE * (frequency - assignment))
    return jnp.sum(away * (frequency - jax.lax.stop_gradient(frequency)))
