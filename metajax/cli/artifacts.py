"""Verbs about artifacts: recommend, export and inspect."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from metajax.cli.compilation import use_compilation_cache
from metajax.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from metajax.experiment.artifact import Artifact
    from metajax.experiment.assembly import Assembly
    from metajax.ranking.recommendation import Reason, Recommendation


def recommend_verb(arguments: Sequence[str]) -> None:
    """Adapt to ratings and print a list."""
    import tyro

    def recommend(
        run: Path,
        /,
        *,
        rate: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
        about: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = (),
        top: int = 10,
        min_ratings: int = 5,
        include_seen: bool = False,
        explain: bool = False,
        experiment: Path | None = None,
    ) -> None:
        """Adapt to a few ratings and print what to recommend.

        Args:
            run: Folder of a run or an exported artifact.
            rate: "ITEM=RATING", with the item's id or title; once for each rating.
            about: "FEATURE=VALUE", what is known about the person, values of a bag with | between them; once for each
                feature.
            top: Length of the list.
            min_ratings: Leave out items that fewer training users rated.
            include_seen: Recommend rated items too.
            explain: Tell which ratings moved each prediction most, and by how much.
            experiment: The experiment file, needed only where it brings parts of its own.
        """
        from rich.console import Console

        from metajax.experiment import load_experiment
        from metajax.recommender import Recommender

        use_compilation_cache()
        ratings: dict[str, float] = {}
        for item, value in (_pair(one, "ITEM=RATING") for one in rate):
            if item in ratings:
                raise ConfigError(f"{item!r} is rated twice. Give one rating of it.")
            ratings[item] = _number(value, f"The rating of {item!r}")
        own = load_experiment(experiment) if experiment else None
        recommender = Recommender.load(run, experiment=own)
        kinds = {one.feature.name: one.feature.kind for one in recommender.artifact.encoding.encoders}
        told = (_pair(one, "FEATURE=VALUE") for one in about)
        user = {name: _feature(value, name, kinds.get(name)) for name, value in told}
        adapted = recommender.adapt(ratings, user=user)
        found = adapted.recommend(top, exclude_seen=not include_seen, min_ratings=min_ratings)
        if not found:
            print(f"No item is left that {min_ratings} training users rated. Ask for less: --min-ratings 1")
            return
        reasons = [adapted.explain(one.item, 2) for one in found] if explain else None
        meaning = "predicted" if isfinite(recommender.bounds[0]) else "score"  # what only ranks has no unit
        Console().print(recommendation_table(found, reasons, meaning=meaning))

    tyro.cli(recommend, prog="metajax recommend", args=list(arguments))


def export_verb(arguments: Sequence[str]) -> None:
    """Write a run's artifact elsewhere."""
    import tyro

    def export(
        run: Path,
        folder: Path,
        /,
        *,
        tables: Literal["float32", "bfloat16", "int8"] = "float32",
        prune: float | None = None,
        prune_steps: int = 300,
        errors: bool = False,
        stablehlo: bool = False,
        sign: Path | None = None,
        experiment: Path | None = None,
    ) -> None:
        """Check a run's artifact and copy it: safetensors, JSON with hashes, id maps, metrics and a model card.

        Args:
            run: Folder of a run, or of one of its seeds.
            folder: Where the artifact goes; an artifact that is there is replaced.
            tables: How parameters are stored; int8 has a scale for each row. What it costs is printed.
            prune: Share of the model's smallest weights that are set to 0; the run's data are needed to train on.
            prune_steps: Outer steps after pruning; 0 trains nothing and needs no data.
            errors: Print the errors on the run's test users, before and after; needs the run's data.
            stablehlo: Write adapting and ranking as one program for CPU and CUDA too (needs metajax[serve]).
            sign: PEM file of an Ed25519 private key that signs the artifact (needs metajax[serve]).
            experiment: The experiment file, needed only where it brings parts of its own.
        """
        from metajax.experiment import load_experiment
        from metajax.experiment.artifact import as_stored, read_artifact, write_artifact
        from metajax.experiment.assembly import assemble
        from metajax.experiment.pruned import fine_tuned, pruned
        from metajax.recommender import artifact_folder

        use_compilation_cache()
        own = load_experiment(experiment) if experiment else None
        before = read_artifact(artifact_folder(run), experiment=own)
        stages = {"as trained": before}
        is_pruned = prune is not None
        assembly = None
        if errors or (is_pruned and prune_steps):
            assembly = assemble(before.experiment, final=bool(before.training.get("refit")))
        if is_pruned:
            stages["pruned"] = pruned(before, prune)
        if is_pruned and assembly and prune_steps:
            stages["trained on"] = fine_tuned(before, prune, assembly, outer_steps=prune_steps)
        smaller = list(stages.values())[-1]
        stages["as exported"] = stored = as_stored(smaller, tables)
        write_artifact(smaller, folder, tables=tables, program=_program(stored) if stablehlo else None, key=sign)
        if is_pruned or tables != "float32":
            _print_cost(before, stored)
        if assembly:
            _print_errors(assembly, stages)
        print(f"Exported to {folder}. Look at it with: metajax inspect {folder}")

    tyro.cli(export, prog="metajax export", args=list(arguments))


def _print_errors(assembly: "Assembly", stages: dict[str, "Artifact"]) -> None:
    from metajax.experiment.cost import mean_absolute_errors

    for stage, artifact in stages.items():
        errors = mean_absolute_errors(assembly, artifact)
        print(f"MAE {stage}: {', '.join(f'{name} {value:.4f}' for name, value in errors.items())}")


def _program(artifact: "Artifact") -> bytes:
    import jax

    from metajax.experiment.exported import export_program

    items, counts = jax.tree.map(jax.numpy.asarray, (artifact.items, artifact.num_ratings))
    of = (artifact.parts().learner, artifact.meta_params, items)
    return export_program(*of, user=artifact.new_user(), num_ratings=counts)


def _print_cost(before: "Artifact", after: "Artifact") -> None:
    from metajax.experiment.cost import cost_of

    cost = cost_of(before, after)
    print(
        f"Predictions for synthetic users move by {cost.mean:.2g} on average and {cost.largest:.2g} at most; "
        f"{cost.kept:.1%} of their first ten items stay."
    )


def inspect_verb(arguments: Sequence[str]) -> None:
    """Check and describe an artifact."""
    import tyro

    def inspect(folder: Path, /, *, public_key: Path | None = None) -> None:
        """Check every file of an artifact against its hash and print its model card; nothing of it is executed.

        Args:
            folder: Of an exported artifact, a run, or one of its seeds.
            public_key: PEM file of the Ed25519 public key that must have signed it (needs metajax[serve]).
        """
        from rich.console import Console
        from rich.markdown import Markdown
        from rich.table import Table

        from metajax.experiment.artifact import CARD, DOCUMENT
        from metajax.files import MANIFEST, check_manifest, read_json
        from metajax.recommender import artifact_folder

        found = artifact_folder(folder)
        if public_key:
            from metajax.experiment.signature import check_signature

            check_signature(found, public_key)
        check_manifest(found)
        table = Table("file", "bytes", "sha256", title=f"{found}: every file is as it was written")
        for name, entry in read_json(found / MANIFEST)["files"].items():
            table.add_row(name, f"{entry['bytes']:,}", entry["sha256"][:16])
        console = Console()
        console.print(Markdown((found / CARD).read_text(encoding="utf-8")), table)
        console.print_json(data=read_json(found / DOCUMENT)["experiment"])

    tyro.cli(inspect, prog="metajax inspect", args=list(arguments))


def recommendation_table(
    found: Sequence["Recommendation"],
    reasons: Sequence[Sequence["Reason"]] | None = None,
    *,
    meaning: str = "predicted",
) -> "Table":
    """Lay out recommendations for a terminal, with what their numbers mean, and their reasons if there are any."""
    from rich.table import Table

    columns = ("", "title", "id", meaning, *(["why"] if reasons else []))
    table = Table(*columns, title="Recommended", title_justify="left")
    for rank, one in enumerate(found, 1):
        why = ["; ".join(f"{r.effect:+.2f} {r.title or r.item}" for r in reasons[rank - 1])] if reasons else []
        table.add_row(str(rank), one.title or "", str(one.item), f"{one.score:.2f}", *why)
    return table


def _pair(text: str, wanted: str) -> tuple[str, str]:
    name, separator, value = text.rpartition("=")
    if not separator or not name:
        raise ConfigError(f'Got {text!r}, wanted "{wanted}", such as --rate "Toy Story (1995)=5".')
    return name, value


def _number(value: str, what: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise ConfigError(f"{what} is {value!r}, wanted a number.") from error


def _feature(value: str, name: str, kind: str | None) -> Any:
    """Read a feature's text as its kind has it; of a kind that no text gives, as it is."""
    if kind == "number":
        return _number(value, f"The feature {name!r}")
    return value.split("|") if kind == "bag" else value
