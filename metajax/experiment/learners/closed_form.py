"""Choices of learner: adaptation in closed form."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import jax

from metajax import learners, models
from metajax.data.columns import TOKENS, Column
from metajax.data.taken import Taken
from metajax.errors import ConfigError
from metajax.learners.selection import path_of
from metajax.losses import Loss
from metajax.models import item_width
from metajax.types import Learner, Model


@dataclass(frozen=True)
class Ridge:
    """A ridge regression per user on the item vectors, on top of the model's own prediction; closed form."""

    penalty: float = 4.0
    """Initial penalty of the item vector's weights; learned."""
    bias_penalty: float = 3.0
    """Initial penalty of the user's bias; learned."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        width = item_width(model, columns)
        return learners.ridge(model, loss, item_width=width, penalty=self.penalty, bias_penalty=self.bias_penalty)


@dataclass(frozen=True)
class BayesianLinear:
    """A Bayesian linear regression per user on the item vectors: exact, streaming, with a variance."""

    prior_variance: float = 0.25
    """Of a weight at the start, in units of the noise variance; learned for every feature."""
    bias_variance: float = 0.33
    """Of the user's bias at the start; learned."""
    noise: float = 0.9
    """Standard deviation of a rating at the start; learned."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        return learners.bayesian_linear(
            model,
            loss,
            item_width=item_width(model, columns),
            prior_variance=self.prior_variance,
            bias_variance=self.bias_variance,
            noise=self.noise,
        )


@dataclass(frozen=True)
class StudentT:
    """A Bayesian linear regression per user whose noise level is the user's own; maybe several, averaged.

    On `MatrixFactorization`, item tables are beliefs, not points.
    """

    prior_variance: float = 0.15
    """Of a weight of the item vector, in units of the noise variance."""
    bias_variance: float = 0.25
    """Of the user's bias at the start; learned. Where items are known by their ids alone the ratings say it."""
    unseen_variance: float = 0.1
    """Of a user's own level of items that nobody has rated, at the start; learned. 0 for no such level."""
    noise: float = 0.9
    """Standard deviation of a rating at the start; learned. Where items are known by their ids alone the ratings say
    it."""
    freedom: float = 10.0
    """Degrees of freedom at the start: how alike users' noise levels are; learned."""
    rated: bool = True
    """Learn what it says of a user to have rated an item, however."""
    rated_deviation: float = 0.09
    """Of the prior of what that says."""
    noise_deviation: float = 0.1
    """Of the prior of what features and ids say of the noise."""
    factor_prior: float = 0.5
    """Deviation of the prior of item factors, where items are known by their ids alone: training begins at what the
    ratings say of biases and factors under it and under a prior of biases that they say too. 0 has priors learned from
    a random start, as where content is known."""
    shared: bool = True
    """Learn how much a user's liking of an item says of others that share a name or a word; needs
    data.estimate-content."""
    max_support: int = 100
    """Ratings that a state holds; beyond, the oldest are forgotten."""
    beliefs: bool = True
    """Keep beliefs about item tables, where the model is matrix factorisation."""
    priors: float = 1.0
    """Weight of the priors of all parameters; 1 is Bayes, 0 is none."""
    unseen: float = 0.2
    """Share of the training tasks whose items lose their ids, to learn of items that nobody has rated."""
    unseen_rows: int = 400_000
    """Training ratings from which on it is that share; of fewer, which tell little of the ids, proportionally less."""
    members: int = 1
    """How many are averaged; training takes as many times as long."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner.

        Raises:
            ConfigError: if a number is out of range.
        """
        if self.factor_prior < 0:
            raise ConfigError(f"factor_prior is a deviation above 0, or 0 to have it learned, got {self.factor_prior}.")
        width = item_width(model, columns)
        ids = [column for column in columns if column.of == "item" and column.name == "id"]
        rows = max(column.rows for column in columns)
        tokens = [column for column in columns if column.kind == TOKENS and self.shared]
        tables = _item_tables(model, columns, width - 1) if self.beliefs else None
        alone = tables is not None and [column for column in columns if column.of == "item"] == ids
        start = self._start(model, ids[0].taken, width - 1) if alone and self.factor_prior != 0 else None
        components = ids[0].taken.components if start and ids[0].taken else None
        learner = learners.student_t(
            model,
            loss,
            noise_model=models.linear(columns, embedding_dim=1, embedding_scale=0.0),
            item_width=width,
            tables=tables,
            start=start,
            rated=models.matrix_factorization(ids, factors=width, factor_scale=0.0) if ids and self.rated else None,
            token_widths=tokens[0].widths if tokens else (),
            num_tokens=tokens[0].size if tokens else 1,
            max_support=self.max_support,
            training_rows=max(1, round(rows / self.priors)) if self.priors and rows else 0,
            prior_variance=self.prior_variance,
            bias_variance=(components.user / components.noise) ** 2 if components else self.bias_variance,
            unseen_variance=self.unseen_variance,
            rated_deviation=self.rated_deviation,
            noise_deviation=self.noise_deviation,
            noise=components.noise if components else self.noise,
            freedom=self.freedom,
            unseen=self.unseen * (min(1.0, rows / self.unseen_rows) if rows else 1.0),
        )
        return learners.ensemble(learner, self.members) if self.members > 1 else learner

    def _start(self, model: Model, taken: Taken | None, factors: int) -> learners.ItemStart:
        """Begin the item tower at what the ratings say of biases and factors under this learner's own priors.

        Biases have a prior as wide as items differ in the ratings, and a user's weights the variance s^2 P. Factors
        begin surer than the ratings have them: as unsure as that, vectors that training draws are mostly noise, and
        s falls until users' weights say little (squared error of held-out users of books .708 for .703).
        """
        if taken is None:  # parameters are to be loaded
            return learners.ItemStart({"weights": 1.0, "factors": self.factor_prior})
        components = taken.components
        weight = components.noise * self.prior_variance**0.5
        liked = taken.liked(factors, weight=weight, deviation=self.factor_prior)
        item = jax.eval_shape(model.init, jax.random.key(0))["item"]
        fill = lambda part, value: jax.tree.map(lambda _: value, item[part])  # noqa: E731 # of one column
        parts = {"weights": slice(0, 1), "factors": slice(1, None)}
        return learners.ItemStart(
            priors={"weights": components.item, "factors": self.factor_prior},
            means={part: fill(part, liked.means[:, columns]) for part, columns in parts.items()},
            deviations={"weights": liked.deviations[:, :1]},
            user_level=components.mean_user,
        )


def _item_tables(model: Model, columns: Sequence[Column], factors: int) -> Model | None:
    """Return matrix factorisation on the item columns with tables, or maps of vectors, if `model` has these too."""
    tabled = [column for column in columns if column.of == "item" and column.kind in ("category", "bag", "vector")]
    if not tabled or factors < 1:
        return None
    tables = models.matrix_factorization(tabled, factors=factors, factor_scale=0.0)
    of_model, of_tables = (
        {
            (path_of(path), leaf.shape)
            for path, leaf in jax.tree_util.tree_leaves_with_path(jax.eval_shape(one.init, jax.random.key(0))["item"])
        }
        for one in (model, tables)
    )
    return tables if of_tables <= of_model else None


@dataclass(frozen=True)
class GaussianProcess:
    """A Gaussian process per user on the item vectors: deep kernel transfer."""

    kernel: Literal["linear", "rbf"] = "rbf"
    """Of two item vectors."""
    scale: float = 0.25
    """Of the kernel at the start, in units of the noise variance; learned."""
    bias_variance: float = 0.33
    """Of the user's bias at the start; learned."""
    length: float = 1.0
    """Of the RBF kernel at the start; learned."""
    noise: float = 0.9
    """Standard deviation of a rating at the start; learned."""
    max_support: int = 100
    """Ratings that a state holds; beyond, the oldest are forgotten."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        return learners.gaussian_process(
            model,
            loss,
            item_width=item_width(model, columns),
            kernel=self.kernel,
            scale=self.scale,
            bias_variance=self.bias_variance,
            length=self.length,
            noise=self.noise,
            max_support=self.max_support,
        )


@dataclass(frozen=True)
class Prototypes:
    """Prototypes of what a user likes and does not (protonet), for implicit feedback."""

    relevant: float = 0.5
    """Targets from here on are liked: 0.5 for targets of 1.0 and 0.0, such as 4.0 for stars; in units of data.unit
    where the loss is SquaredError."""
    strength: float = 2.0
    """Ratings that a learned prototype counts for, at the start; learned."""
    scale: float = 0.1
    """Of distances at the start; learned."""

    def build(self, model: Model, loss: Loss, columns: Sequence[Column]) -> Learner:
        """Make the learner."""
        return learners.prototypes(
            model,
            loss,
            item_width=item_width(model, columns),
            relevant=self.relevant,
            strength=self.strength,
            scale=self.scale,
        )
