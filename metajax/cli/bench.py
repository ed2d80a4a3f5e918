"""`metajax bench memory`: what an experiment's compiled programs need."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from metajax.cli.compilation import use_compilation_cache
from metajax.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from metajax.experiment.memory import PartMemory

USAGE = """usage: metajax bench memory [EXPERIMENT.py | RATINGS] [flags of metajax train]

Compile the programs of an experiment, running none, and print the memory that each needs: an outer step, adapting and
predicting a meta-batch, and ranking the catalogue for one user and for many. Every flag of metajax train is taken, such
as --training.task-chunk. Speed is measured by benchmarks/ in the repository."""


def bench_verb(arguments: Sequence[str]) -> None:
    """Print the compiled memory by part."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        raise SystemExit(0)
    what, *rest = arguments
    if what != "memory":
        raise ConfigError(f"metajax bench measures memory, got {what!r}: metajax bench memory [EXPERIMENT.py].")
    from rich.console import Console

    from metajax.cli.runs import parse
    from metajax.experiment.assembly import assemble
    from metajax.experiment.memory import compiled_memory

    experiment, _ = parse(rest, "metajax bench memory")
    use_compilation_cache()
    Console().print(memory_table(experiment.name, compiled_memory(assemble(experiment))))


def memory_table(name: str, parts: Sequence["PartMemory"]) -> "Table":
    """Lay out the memory for a terminal."""
    from rich.table import Table

    columns = ("arguments", "outputs", "reused", "temporary", "code")
    table = Table("part", *columns, "in all", title=f"Compiled memory of {name}", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for one in parts:
        table.add_row(one.part, *(readable(getattr(one, column)) for column in columns), readable(one.peak))
    return table


def readable(size: int) -> str:
    """Write a number of bytes with three digits or so: 12 B, 3.4 kB, 56 MB."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.3g} {unit}" if unit == "B" or value < 99.95 else f"{value:.0f} {unit}"
