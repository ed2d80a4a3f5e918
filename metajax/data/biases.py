"""Damped biases of users and items, by alternating averages."""

import numpy as np


def damped_biases(
    users: np.ndarray,
    items: np.ndarray,
    centred: np.ndarray,
    *,
    num_users: int,
    num_items: int,
    damping: float = 5.0,
    sweeps: int = 10,
) -> tuple[np.ndarray, np.ndarray]:
    """Alternate b_u = sum(y - b_i) / (n_u + damping) and b_i = sum(y - b_u) / (n_i + damping), both from 0.

    Args:
        users: int `[rows]` positions.
        items: int `[rows]` positions.
        centred: `[rows]` targets less their mean.
        num_users: how many there are; one without rows has the bias 0.
        num_items: how many there are.
        damping: pulls biases towards 0.
        sweeps: how often to alternate.

    Returns:
        b_u `[num_users]` and b_i `[num_items]`.
    """
    of_user, of_item = np.bincount(users, minlength=num_users), np.bincount(items, minlength=num_items)
    user, item = np.zeros(num_users), np.zeros(num_items)
    for _ in range(sweeps):
        user = np.bincount(users, centred - item[items], num_users) / (of_user + damping)
        item = np.bincount(items, centred - user[users], num_items) / (of_item + damping)
    return user, item
