"""The command line: one verb a function. `metajax --help` imports neither JAX nor polars.

Exit codes: 0 done; 1 a defect of metajax; 2 a wrong option or choice; 3 data that are missing, malformed or leak;
4 training had to stop; 5 a run, checkpoint or artifact that is missing or altered; 130 interrupted (training's progress
is saved).
"""

import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module

from metajax.errors import MetajaxError, StorageError

VERBS = {
    "demo": ("runs", "train on bundled ratings, evaluate on users never seen, recommend to a new person"),
    "train": ("runs", "meta-train an experiment file, a file of ratings, or the default experiment"),
    "tune": ("tuning", "choose hyper-parameters on held-out training users, within a stated budget"),
    "evaluate": ("runs", "measure a run beside every baseline and write its report"),
    "recommend": ("artifacts", "adapt to a few ratings and print a list"),
    "serve": ("serving", "answer over HTTP, adapting to each user as they act"),
    "compare": ("runs", "compare two or more evaluated runs, paired by user"),
    "export": ("artifacts", "write a run's artifact to a folder of its own"),
    "inspect": ("artifacts", "check an artifact and print what it is, executing nothing"),
    "show": ("runs", "print the resolved configuration of an experiment or a run"),
    "data": ("data", "list, describe, fetch and convert data sets"),
    "bench": ("bench", "print the memory that an experiment's compiled programs need, by part"),
    "doctor": ("doctor", "check versions, devices, cache and data, and say how to mend what is wrong"),
}


RESUMED = ("train", "tune")
"""Verbs that go on where they were interrupted."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit code; `arguments` are those of the process by default."""
    verb, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if verb in ("-h", "--help"):
        print(usage())
        return 0
    if verb == "--version":
        from importlib.metadata import version

        print(f"metajax {version('metajax')}")
        return 0
    if verb not in VERBS:
        close = get_close_matches(verb, VERBS, n=1)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        print(f"metajax has no verb {verb!r}.{meant} See metajax --help.", file=sys.stderr)
        return 2
    run: Callable[[Sequence[str]], int | None] = getattr(import_module(f"metajax.cli.{VERBS[verb][0]}"), f"{verb}_verb")
    try:
        return run(rest) or 0
    except MetajaxError as error:
        print(f"metajax {verb}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.filename is None:  # of no file that anybody named
            raise
        print(
            f"metajax {verb}: {error.filename}: {error.strerror}. Check the path, its permissions and the space left.",
            file=sys.stderr,
        )
        return StorageError.exit_code
    except KeyboardInterrupt:
        saved = " What it has reached is saved: continue with --resume." if verb in RESUMED else ""
        print(f"metajax {verb}: interrupted.{saved}", file=sys.stderr)
        return 130


def usage() -> str:
    """Return the overview that `metajax --help` prints."""
    verbs = "\n".join(f"  {name:<10} {about}" for name, (_, about) in VERBS.items())
    return (
        "usage: metajax VERB ...\n\n"
        "Meta-learned recommendation: good recommendations for a new user after a handful of ratings.\n\n"
        f"{verbs}\n\n"
        "Try `metajax demo`. `metajax VERB --help` tells a verb's options.\n"
        "Exit codes: 0 done, 1 defect, 2 wrong option, 3 data, 4 training stopped, 5 run or artifact, 130 interrupted."
    )
