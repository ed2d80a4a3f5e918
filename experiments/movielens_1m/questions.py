"""What to ask a new user of MovieLens-1M: information against popularity, entropy, their product and chance.

Run:      metajax train experiments/movielens_1m/questions.py && python experiments/movielens_1m/questions.py
Override: python experiments/movielens_1m/questions.py --draws 1 --users 100
Takes:    a quarter of an hour on 2 CPU cores, two minutes of it for training.
Reaches:  experiments/results/movielens_1m/questions.json, and questions.png beside it.
Follows:  Rashid et al., 2002, "Getting to know you", section 4, https://doi.org/10.1145/502716.502737

One seed of the flagship, the `user_cold` users of the `melu` split. A user starts without a rating and is asked about
one of the 256 items most rated in training after another. If the item is among the user's ratings, those of the query
left out, the rating is told and the user adapted; else the answer is "I don't know it", which counts as a question and
not as an answer. The query is judged after each answer. Nothing was tuned on these users; the strategies by shares were
added after a first look at the results of the others, and are no better.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.evaluation.protocols import lay_out
from metajax.evaluation.statistics import bootstrap_means, holm, sign_flip_test
from metajax.experiment import Experiment, load_experiment
from metajax.experiment.artifact import read_artifact
from metajax.experiment.assembly import assemble
from metajax.experiment.provenance import commit
from metajax.files import write_json
from metajax.ranking.questioner import CANDIDATES, SAMPLE
from metajax.ranking.questions import met_items, rating_entropy, variance_reduction
from metajax.recommender import artifact_folder
from metajax.tasks.taskset import TaskSet
from metajax.types import Examples, Learner, PyTree

RESULTS = Path(__file__).parents[1] / "results" / "movielens_1m" / "questions.json"
REFERENCE = "popularity"
ANSWERS, QUESTIONS = (0, 1, 2, 3, 5, 10, 20), (0, 5, 10, 20, 40, 80)
MOST_ANSWERS = 40
"""More than almost any of these users can give to QUESTIONS."""


def experiment() -> Experiment:
    flagship = load_experiment(Path(__file__).with_name("flagship.py"))
    return replace(flagship, name="movielens_1m/questions", seeds=(0,))


class Catalogue(NamedTuple):
    """What questions are chosen from and for; representations, and of the candidates what training says.

    `shares` are of an item in a training user's ratings, averaged over users: people of few ratings count as much as
    people of many, who rate the less popular items.
    """

    candidates: PyTree
    sample: PyTree
    counts: jax.Array
    shares: jax.Array
    histogram_entropy: jax.Array


class Person(NamedTuple):
    """A cold user: `answers` `[candidates]`, NaN where the user does not know the item; the query; a key for chance."""

    user: PyTree
    answers: jax.Array
    query: Examples
    key: jax.Array


class Course(NamedTuple):
    """After 0, 1, 2 and so on answers: how many questions that took (inf: no item is left), and the query's errors."""

    questions: np.ndarray
    absolute: np.ndarray
    squared: np.ndarray


Worth = Callable[[PyTree, PyTree, Catalogue, jax.Array], jax.Array]
"""(meta_params, state, catalogue, key) -> `[candidates]`; the highest is asked first."""


def strategies(learner: Learner, levels: jax.Array) -> dict[str, Worth]:
    """Those of `metajax.ranking.questioner`, and three more.

    `popularity_by_shares` and `information_by_shares` take the shares of an item, in the place of its number of
    training ratings, for the chance that a user knows it; `popularity_histogram_entropy` takes the entropy of the
    item's training ratings, as Rashid et al. did, in the place of that of the predicted rating.
    """
    value = variance_reduction(learner)

    def entropy(meta_params: PyTree, state: PyTree, catalogue: Catalogue, key: jax.Array) -> jax.Array:
        del key
        found = learner.predict(meta_params, state, catalogue.candidates)
        assert found.variance is not None
        return rating_entropy(found.mean, found.variance, levels)

    def information(meta_params: PyTree, state: PyTree, catalogue: Catalogue, key: jax.Array) -> jax.Array:
        del key
        return value(meta_params, state, catalogue.candidates, catalogue.sample)

    return {
        "information": lambda *given: given[2].counts * information(*given),
        "information_by_shares": lambda *given: given[2].shares * information(*given),
        "popularity_by_shares": lambda *given: given[2].shares,
        "popularity": lambda *given: given[2].counts,
        "entropy": entropy,
        "popularity_entropy": lambda *given: jnp.log1p(given[2].counts) * entropy(*given),
        "popularity_histogram_entropy": lambda *given: jnp.log1p(given[2].counts) * given[2].histogram_entropy,
        "random": lambda *given: jax.random.uniform(given[3], given[2].counts.shape),
    }


def interview(
    learner: Learner, worth: Worth, *, most_answers: int
) -> Callable[[PyTree, Catalogue, Person, tuple[float, float]], tuple[jax.Array, jax.Array, jax.Array]]:
    """Return what asks one user; the leaves of its result are `[1 + most_answers]`, as those of `Course`.

    Between two answers nothing changes but what is left to ask: the items above the best that the user knows are all
    asked in vain before it.
    """

    def ask(meta_params: PyTree, catalogue: Catalogue, person: Person, scale: tuple[float, float]) -> tuple:
        places = jnp.arange(len(person.answers))
        knows = ~jnp.isnan(person.answers)

        def errors(state: PyTree) -> tuple[jax.Array, jax.Array]:
            mean = jnp.clip(learner.predict(meta_params, state, person.query.items).mean, *scale)
            off = (mean - person.query.target) * person.query.mask
            count = jnp.sum(person.query.mask)
            return jnp.sum(jnp.abs(off)) / count, jnp.sum(off**2) / count

        def step(carry: tuple, key: jax.Array) -> tuple[tuple, tuple]:
            state, is_open, asked = carry
            worths = jnp.where(is_open, worth(meta_params, state, catalogue, key), -jnp.inf)
            best = jnp.argmax(jnp.where(is_open & knows, worths, -jnp.inf))
            is_left = (is_open & knows)[best]
            in_vain = is_open & ((worths > worths[best]) | ((worths == worths[best]) & (places < best)))
            told = jnp.where(is_left, person.answers[best], 0)[None]
            items = jax.tree.map(lambda leaf: leaf[best][None], catalogue.candidates)
            state = learner.adapt(meta_params, state, Examples(items, told, is_left[None].astype(told.dtype)))
            asked = jnp.where(is_left, asked + jnp.sum(in_vain.astype(asked.dtype)) + 1, jnp.inf)
            return (state, is_open & ~in_vain & (places != best), asked), (asked, *errors(state))

        begun = learner.begin(meta_params, person.user)
        keys = jnp.broadcast_to(person.key, (most_answers, *person.key.shape))  # chance draws one order a user
        start = (begun, jnp.ones_like(knows), jnp.zeros(()))
        _, after = jax.lax.scan(step, start, keys)
        return jax.tree.map(lambda first, rest: jnp.append(first, rest), (jnp.zeros(()), *errors(begun)), after)

    return ask


def by_questions(course: Course, budget: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `[tasks]` errors after the last answer within a number of questions."""
    last = (course.questions <= budget).sum(axis=1) - 1
    rows = np.arange(len(last))
    return course.absolute[rows, last], course.squared[rows, last]


def by_answers(course: Course, answers: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `[tasks]` errors after a number of answers; NaN of users who know fewer of the candidates."""
    reached = np.isfinite(course.questions[:, answers])
    return tuple(np.where(reached, errors[:, answers], np.nan) for errors in (course.absolute, course.squared))


def summarise(courses: dict[str, Course], users: np.ndarray) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Average over draws, then users; 95 % intervals by the bootstrap over users; differences are paired by user."""
    tables = {}
    for name, at, points in (("questions", by_questions, QUESTIONS), ("answers", by_answers, ANSWERS)):
        table: dict[str, list[dict[str, Any]]] = {strategy: [] for strategy in courses}
        for point in points:
            found = {one: [_per_user(errors, users) for errors in at(course, point)] for one, course in courses.items()}
            differences = np.stack([found[one][0] - found[REFERENCE][0] for one in courses], axis=1)
            others = [place for place, one in enumerate(courses) if one != REFERENCE]
            p = np.ones(len(courses))
            p[others] = holm(sign_flip_test(differences[:, others], seed=0))
            spread = _interval(bootstrap_means(differences, seed=0))
            for place, (one, (absolute, squared)) in enumerate(found.items()):
                means = bootstrap_means(np.stack([absolute, squared], axis=1), seed=0)
                row = {name: point, "users": int(np.isfinite(absolute).sum())}
                row |= {"mae": [_mean(absolute), *_interval(means[:, :1])[0]]}
                row |= {"rmse": [round(float(np.nanmean(squared)) ** 0.5, 4), *_interval(means[:, 1:] ** 0.5)[0]]}
                row |= {
                    "mae_minus_reference": [_mean(differences[:, place]), *spread[place]],
                    "p_holm": float(p[place]),
                }
                if name == "answers":
                    reached = courses[one].questions[:, point]
                    row["questions"] = _mean(reached[np.isfinite(reached)])
                else:
                    row["answers"] = _mean((courses[one].questions <= point).sum(axis=1) - 1.0)
                table[one].append(row)
        tables[f"by_{name}"] = table
    return tables


def _per_user(errors: np.ndarray, users: np.ndarray) -> np.ndarray:
    """Average `[tasks]` over the draws of each user in which it is defined; NaN where it is in none."""
    _, place = np.unique(users, return_inverse=True)
    defined = np.isfinite(errors)
    counts = np.bincount(place, defined)
    return np.where(counts, np.bincount(place, np.where(defined, errors, 0)) / np.maximum(counts, 1), np.nan)


def _mean(values: np.ndarray) -> float:
    return round(float(np.nanmean(values)), 4)


def _interval(means: np.ndarray) -> list[list[float]]:
    return np.round(np.nanpercentile(means, (2.5, 97.5), axis=0), 4).T.tolist()


def main(arguments: list[str]) -> None:
    """Interview the cold users by every strategy, keep the numbers and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/movielens_1m/questions"))
    parser.add_argument("--draws", type=int, default=3, help="of the protocol's ten: which ratings are the query")
    parser.add_argument("--users", type=int, default=None, help="as many only, to try it")
    chosen = parser.parse_args(arguments)
    artifact = read_artifact(artifact_folder(chosen.run))
    assembly = assemble(artifact.experiment, final=bool(artifact.training.get("refit")))
    tasks = lay_out(assembly.split.scenarios["user_cold"], assembly.interactions)
    tasks = tasks.take(
        np.flatnonzero((tasks.draw < chosen.draws) & np.isin(tasks.user, np.unique(tasks.user)[: chosen.users]))
    )
    learner, scale = artifact.parts().learner, artifact.scale
    represented = jax.jit(learner.represent)(artifact.meta_params, jax.tree.map(jnp.asarray, artifact.items))
    rows = lambda positions: jax.tree.map(lambda leaf: leaf[positions], represented)  # noqa: E731
    positions = np.argsort(-artifact.num_ratings.astype(np.int64), kind="stable")[:CANDIDATES]
    catalogue = Catalogue(
        rows(positions),
        rows(met_items(artifact.num_ratings, SAMPLE)),
        jnp.asarray(artifact.num_ratings[positions], jnp.float32),
        jnp.asarray(shares(assembly)[positions], jnp.float32),
        jnp.asarray(histogram_entropy(assembly, positions), jnp.float32),
    )
    people = persons(tasks, positions, rows, assembly.catalogue.users)
    courses = {}
    for name, worth in strategies(learner, jnp.asarray(artifact.levels, jnp.float32)).items():
        ask = interview(learner, worth, most_answers=MOST_ANSWERS)
        every = jax.jit(
            lambda meta_params, catalogue, people, ask=ask: jax.lax.map(
                lambda one: ask(meta_params, catalogue, one, scale), people, batch_size=8
            )
        )
        courses[name] = Course(
            *(np.asarray(leaf, np.float64) for leaf in every(artifact.meta_params, catalogue, people))
        )
        print(f"{name}: MAE {_mean(by_questions(courses[name], 20)[0]):.4f} after 20 questions", flush=True)
    known = np.isfinite(np.asarray(people.answers)).sum(axis=1)
    result = {
        "command": f"python experiments/movielens_1m/questions.py {' '.join(arguments)}".strip(),
        "commit": commit(),
        "run": {"name": artifact.experiment.name, **artifact.training},
        "users": len(np.unique(tasks.user)),
        "draws": chosen.draws,
        "candidates": CANDIDATES,
        "known_candidates": {"mean": _mean(known), "median": float(np.median(known))},
        "reference": REFERENCE,
        **summarise(courses, tasks.user),
    }
    write_json(RESULTS, result)
    draw(result, RESULTS.with_suffix(".png"))
    print(f"Kept {RESULTS}.")


def persons(tasks: TaskSet, positions: np.ndarray, rows: Callable[[np.ndarray], PyTree], users: PyTree) -> Person:
    """Gather all tasks; the support is the pool of what a user can answer."""
    place = {int(position): column for column, position in enumerate(positions)}
    answers = np.full((len(tasks), len(positions)), np.nan, np.float32)
    for task, (items, target, mask) in enumerate(
        zip(tasks.support_items, tasks.support_target, tasks.support_mask, strict=True)
    ):
        for item, rating in zip(items[mask > 0].tolist(), target[mask > 0], strict=True):
            if item in place:
                answers[task, place[item]] = rating
    query = Examples(rows(tasks.query_items), jnp.asarray(tasks.query_target), jnp.asarray(tasks.query_mask))
    features = jax.tree.map(lambda leaf: leaf[tasks.user], users)
    return Person(features, jnp.asarray(answers), query, jax.random.split(jax.random.key(0), len(tasks)))


def shares(assembly: Any) -> np.ndarray:
    """Return `[items]` the share of each item in a training user's ratings, averaged over users."""
    users, items, _ = assembly.interactions.positions(assembly.rows)
    counts = np.bincount(users)
    weights = 1 / (counts[users] * np.count_nonzero(counts))
    return np.bincount(items, weights, minlength=assembly.interactions.items.height)


def histogram_entropy(assembly: Any, positions: np.ndarray) -> np.ndarray:
    """Return `[candidates]` entropy of the training ratings of each, in nats."""
    _, items, target = assembly.interactions.positions(assembly.rows)
    levels, level = np.unique(np.asarray(target), return_inverse=True)
    counts = np.zeros((assembly.interactions.items.height, len(levels)))
    np.add.at(counts, (items, level), 1)
    shares = counts[positions] / counts[positions].sum(axis=1, keepdims=True)
    return -np.sum(np.where(shares > 0, shares * np.log(np.maximum(shares, 1e-300)), 0), axis=1)


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw the MAE over questions, and over answers, with the intervals of two strategies."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    for axis, of in zip(axes, ("questions", "answers"), strict=True):
        for name, table in result[f"by_{of}"].items():
            at, (mae, low, high) = [row[of] for row in table], np.array([row["mae"] for row in table]).T
            (line,) = axis.plot(at, mae, marker="o", markersize=3, label=name.replace("_", " "))
            if name in ("information", REFERENCE):
                axis.fill_between(at, low, high, color=line.get_color(), alpha=0.12)
        axis.set_xscale("symlog", linthresh=5 if of == "questions" else 1)
        axis.set_xticks(at, [str(one) for one in at])
        axis.set_xlabel(f"{of}" + (" (users who know that many of the candidates)" if of == "answers" else " asked"))
    axes[0].set_ylabel("MAE on held-out ratings, stars")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=80, metadata={"Software": None})


if __name__ == "__main__":
    main(sys.argv[1:])
