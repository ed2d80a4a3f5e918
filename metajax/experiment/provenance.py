"""Where results come from."""

import subprocess  # nosec B404 # its one command is fixed


def commit() -> str | None:
    """Return the commit of the working directory, with a mark if it has changes, or None outside a repository."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
        found = subprocess.run(command, capture_output=True, text=True, check=True)  # nosec B603 # of no input
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
