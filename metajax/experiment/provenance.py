"""Where results come from."""

import subprocess


def commit() -> str | None:
    """Return the commit of the working directory, with a mark if it has changes, or None outside a repository."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
