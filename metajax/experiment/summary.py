"""What a run has read and is about to do, in a few lines, so that a wrong column is seen before an hour is gone."""

from metajax.data.interactions import Interactions
from metajax.experiment.assembly import Assembly
from metajax.experiment.data import WarmUp

TURNED = ("Tasks are of items here: users and items have changed places.",)


def summary(assembly: Assembly) -> str:
    """Say which ratings were read, what is known besides, and who trains, selects and tests."""
    experiment, split = assembly.experiment, assembly.split
    known = [f"{column.of} {column.name}" for column in assembly.encoding.columns]
    tests = [f"{len(scenario.task_users()):,} ({name})" for name, scenario in split.scenarios.items()]
    return "\n".join(
        [
            _ratings(assembly.interactions),
            f"The model sees {', '.join(known)}.",
            f"{type(experiment.learner).__name__} on {type(experiment.model).__name__} is trained on "
            f"{assembly.rows['user'].n_unique():,} users and selected on {len(split.validation.task_users()):,}; "
            f"for tests {', '.join(tests)} are kept.",
            *(TURNED if isinstance(experiment.split, WarmUp) else ()),
        ]
    )


def _ratings(interactions: Interactions) -> str:
    target, users, items = (interactions.ratings[name] for name in ("target", "user", "item"))
    low, high = target.min(), target.max()
    what = "takings" if low == high else f"ratings from {low:g} to {high:g}"
    rejected = interactions.quarantine.rows.height
    apart = f"; rejected rows: {rejected:,}" if rejected else ""
    whose = f"of {items.n_unique():,} items by {users.n_unique():,} users"
    return f"{interactions.name}: {target.len():,} {what} {whose}{apart}."
