"""Measure what the times of ratings say of them, and write it into flagship.md: python docs/times.py (two minutes).

MovieLens-1M, training users of MeLU's split with 13 to 100 ratings; no rating of a test state is read. What is left of
a rating when the item's bias is taken off (damped, without the rating itself) is predicted from the user's others by a
Gaussian process: one level for the user, and a part that is alike for ratings near in time.
"""

from pathlib import Path

import numpy as np
import polars as pl
from results_table import fill
from scipy.linalg import cho_factor, cho_solve

from metajax.data.biases import damped_biases
from metajax.data.sources import load
from metajax.data.splits import melu

DAMPING = 5.0
LEVEL, SPREAD, NEAR = 0.16, 0.8, 0.1
"""Variances: of a user's level, of all else, and how much of that is alike for ratings of one moment."""
FADES = (60.0, 300.0, 1800.0)
"""Seconds after which that part has faded by 1 / e."""
GAPS = (0, 1, 15, 60, 300, 3600, 86400, np.inf)
GAP_NAMES = (
    "the same second",
    "under 15 s",
    "under a minute",
    "under 5 minutes",
    "under an hour",
    "under a day",
    "more",
)


def residuals() -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (seconds, what is left of the ratings) of every user, in order of time."""
    train = melu(load("ml-1m")).train.sort("user", "timestamp", "item")
    users, items = (train[side].rank("dense").to_numpy().astype(int) - 1 for side in ("user", "item"))
    centred = train["target"].to_numpy() - train["target"].mean()
    num_users, num_items = users.max() + 1, items.max() + 1
    of_user, _ = damped_biases(users, items, centred, num_users=num_users, num_items=num_items)
    freed, count = centred - of_user[users], np.bincount(items)
    others = (np.bincount(items, freed)[items] - freed) / (count[items] - 1 + DAMPING)
    rows = train.select("user", "timestamp", left=pl.Series(centred - others))
    each = rows.filter(pl.len().over("user").is_between(13, 100)).partition_by("user", maintain_order=True)
    return [(one["timestamp"].to_numpy().astype(float), one["left"].to_numpy()) for one in each]


def alike(users: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[float, int]]:
    """Return (mean product of two ratings of a user, less the user's mean, over their variance; pairs) of every gap."""
    total, pairs, squares = np.zeros(len(GAPS) - 1), np.zeros(len(GAPS) - 1, int), []
    for seconds, left in users:
        centred = left - left.mean()
        one, other = np.triu_indices(len(left), 1)
        place = np.searchsorted(GAPS, np.abs(seconds[one] - seconds[other]), side="right") - 1
        total += np.bincount(place, centred[one] * centred[other], len(total))
        pairs += np.bincount(place, minlength=len(total))
        squares.append(centred**2)
    return list(zip(total / pairs / np.concatenate(squares).mean(), pairs.tolist(), strict=True))


def error(seconds: np.ndarray, left: np.ndarray, fade: float | None, *, earlier: bool) -> float:
    """Return a user's mean squared error, every rating predicted from all others or from those of earlier seconds."""
    near = 0 if fade is None else NEAR
    signal = LEVEL + near * np.exp(-np.abs(seconds[:, None] - seconds) / (fade or 1.0))
    covariance = signal + (SPREAD - near) * np.eye(len(left))
    moments = seconds if earlier else np.arange(len(left))
    wrong = np.empty(len(left))
    for moment in np.unique(moments):
        asked = moments == moment
        told = moments < moment if earlier else ~asked
        known = cho_solve(cho_factor(covariance[np.ix_(told, told)]), left[told]) if told.any() else left[told]
        wrong[asked] = left[asked] - signal[np.ix_(asked, told)] @ known
    return float(np.mean(wrong**2))


def main() -> None:
    """Measure and write the tables."""
    users = residuals()
    lines = [
        f"Written by `python docs/times.py`: {len(users):,} users. How alike two ratings of a user are (correlation),",
        "by the time between them:",
        "",
        f"| {' | '.join(GAP_NAMES)} |",
        "|---" * len(GAP_NAMES) + "|",
        f"| {' | '.join(f'{value:+.3f}' for value, _ in alike(users))} |",
        "",
        "Squared error without times, and the difference (standard error over users) with a part that fades in time:",
        "",
        f"| predicted from | without times | {' | '.join(f'{fade:.0f} s' for fade in FADES)} |",
        "|---" * (2 + len(FADES)) + "|",
    ]
    for name, earlier in (("all others of the user", False), ("those of earlier seconds", True)):
        found = np.array([[error(*user, fade, earlier=earlier) for fade in (None, *FADES)] for user in users])
        gains = found[:, 1:] - found[:, :1]
        of_chance = gains.std(axis=0, ddof=1) / np.sqrt(len(users))
        cells = [f"{mean:+.4f} ({error_of:.4f})" for mean, error_of in zip(gains.mean(axis=0), of_chance, strict=True)]
        lines.append(f"| {name} | {found[:, 0].mean():.4f} | {' | '.join(cells)} |")
    fill(Path(__file__).with_name("flagship.md"), "times", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
