"""The smallest experiment: a linear regression theta, and a meta-learned matrix A that carries it to new points.

    objective(theta, A) = E_D[(y1 - theta^T x1)^2] + E_P[(y2 - (A theta)^T x2)^2]

D is the training set, P are new points whose weights are another linear function of x. With the residuals
r1 = y1 - theta^T x1 and r2 = y2 - (A theta)^T x2 the two gradients are, as the test of this file checks by hand,

    d/dtheta = -2 E[r1 x1] - 2 E[r2 A^T x2]        d/dA = -2 E[r2 x2 theta^T]

Run:      python experiments/linear_regression.py
Takes:    seconds. Writes runs/linear_regression/plot.png.
Reaches:  both losses at the variance of the noise, 0.01; theta and A theta at the weights of D and of P.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import optax

from metajax.tasks.toy import linear_task
from metajax.types import Examples, Key, Task

SEEN = (1.0, -2.0, 0.5)
"""Weights that D is drawn with."""
NEW = (-0.5, 1.0, 1.5)
"""Weights that P is drawn with."""


def draw(key: Key) -> Task:
    """Draw D as the support and P as the query of one task, 50 rows each. The key is consumed."""
    seen, new = (
        linear_task(one, jnp.array(weights), spread=0.0, noise=0.1, support_rows=50, query_rows=50)
        for one, weights in zip(jax.random.split(key), (SEEN, NEW), strict=True)
    )
    return Task({}, seen.support, new.query)


def mean_squared_error(weights: jax.Array, rows: Examples) -> jax.Array:
    return jnp.mean((rows.target - rows.items["x"] @ weights) ** 2)


def objective(meta_params: dict[str, jax.Array], task: Task) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Return the objective, and its two terms."""
    theta, matrix = meta_params["theta"], meta_params["A"]
    on_seen, on_new = mean_squared_error(theta, task.support), mean_squared_error(matrix @ theta, task.query)
    return on_seen + on_new, (on_seen, on_new)


def train(task: Task, *, outer_steps: int = 500, learning_rate: float = 0.02) -> tuple[dict[str, jax.Array], tuple]:
    """Return the meta-parameters, and of every step theta, A theta and the two losses."""
    optimizer = optax.adam(learning_rate)
    meta_params = {"theta": jnp.full(3, 0.1), "A": jnp.eye(3)}

    def step(carry: tuple, _: None) -> tuple[tuple, tuple]:
        meta_params, state = carry
        gradients, losses = jax.grad(objective, has_aux=True)(meta_params, task)
        updates, state = optimizer.update(gradients, state)
        seen = meta_params["theta"], meta_params["A"] @ meta_params["theta"], *losses
        return (optax.apply_updates(meta_params, updates), state), seen

    (meta_params, _), history = jax.lax.scan(step, (meta_params, optimizer.init(meta_params)), length=outer_steps)
    return meta_params, history


def plot(history: tuple, path: Path) -> None:
    """Draw theta, A theta (dashed: what the data were drawn with) and the two losses, over the steps."""
    from matplotlib.figure import Figure

    theta, carried, on_seen, on_new = history
    figure = Figure(figsize=(12, 3.5), layout="constrained")
    weights, other_weights, losses = figure.subplots(1, 3)
    for axes, values, truth, title in ((weights, theta, SEEN, "theta"), (other_weights, carried, NEW, "A theta")):
        axes.plot(values)
        for number, value in enumerate(truth):
            axes.axhline(value, color=f"C{number}", linestyle="--", linewidth=0.8)
        axes.set(title=title, xlabel="outer step")
    losses.semilogy(on_seen, label="training set D, theta")
    losses.semilogy(on_new, label="new points P, A theta")
    losses.set(title="mean squared error", xlabel="outer step")
    losses.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main(folder: Path = Path("runs/linear_regression")) -> None:
    meta_params, history = train(draw(jax.random.key(0)))
    plot(history, folder / "plot.png")
    print(f"theta   {meta_params['theta'].round(2)}, drawn with {SEEN}; loss {history[2][-1]:.4f}")
    print(f"A theta {(meta_params['A'] @ meta_params['theta']).round(2)}, drawn with {NEW}; loss {history[3][-1]:.4f}")
    print(f"Plot: {folder / 'plot.png'}")


if __name__ == "__main__":
    main()
