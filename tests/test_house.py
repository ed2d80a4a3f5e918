"""The project's own files: locks that name no host, terms that are told, nothing of one machine in the repository."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from shutil import which

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
ADDRESS = re.compile(r"://|--(extra-)?index|--find-links|--trusted-host| @ |file:")
ONE_MACHINE = re.compile(r"(?<![\w.~}*-])/(?:work|tmp|root|home|opt|Users)/|\.\./shared|pypi\.org|python[h]osted\.org")


def tracked_files() -> list[Path]:
    if which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout, to know which files are tracked")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listing.split("\0") if (ROOT / name).is_file()]


def test_each_supported_python_has_a_lock():
    assert [path.name for path in LOCKS] == ["py311.txt", "py313.txt"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_names_no_host(lock):
    assert [line for line in lock.read_text().splitlines() if ADDRESS.search(line)] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_pins_and_hashes_every_requirement(lock):
    requirements = lock.read_text().replace("\\\n", " ").splitlines()
    whole = re.compile(r"[a-z0-9.-]+==[0-9][\w.]*(?: ;[^-]*)?(?:\s+--hash=sha256:[0-9a-f]{64})+")
    assert [line for line in requirements if not whole.fullmatch(line)] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_holds_what_the_project_declares(lock):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *extras["test"],
        *extras["dev"],
        *extras["tune"],
        *extras["index"],
        *extras["serve"],
        *extras["stores"],
    ]
    declared = {re.match(r"[\w-]+", line)[0] for line in wanted}
    locked = {line.split("==")[0] for line in lock.read_text().splitlines() if "==" in line}
    assert declared - locked == set()


def test_the_notice_tells_the_terms_of_the_bundled_data():
    notice = " ".join((ROOT / "NOTICE").read_text().split())
    for words in (
        "MovieLens latest-small",
        "GroupLens Research Group",
        "not use this information for any commercial or revenue-bearing purposes without first obtaining permission",
        "redistribute the data set, including transformations, so long as it is distributed under these same license",
        "https://doi.org/10.1145/2827872",
        "https://github.com/hoyeoplee/MeLU",
    ):
        assert words in notice


def test_the_publishers_terms_ship_with_the_bundled_data():
    bundled = ROOT / "metajax" / "data" / "bundled"
    terms = " ".join((bundled / "ml-latest-small" / "README.txt").read_text(encoding="utf-8").split())
    assert "may not use this information for any commercial or revenue-bearing purposes" in terms


def test_no_tracked_file_names_one_machine():
    """Neither paths of the machine it was written on, nor the package index it was installed from."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in tracked_files()
        if b"\0" not in (content := path.read_bytes())
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1)
        if ONE_MACHINE.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line", ["see /" + "tmp/x", '"/' + 'home/me"', ".." + "/shared/data", "https://pypi." + "org/"]
)
def test_a_line_of_one_machine_is_seen(line):
    assert ONE_MACHINE.search(line)


@pytest.mark.parametrize("line", ["https://example.org/home/", "$HOME/work/", "metajax/work/x", "~/tmp/x"])
def test_an_innocent_line_is_left_alone(line):
    assert not ONE_MACHINE.search(line)


def test_make_alone_lists_every_target():
    if which("make") is None:
        pytest.skip("needs make")
    listing = subprocess.run(
        ["make", "--no-print-directory", f"PYTHON={sys.executable}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert [line.split()[0] for line in listing.splitlines()] == targets


def test_all_tests_say_which_packages_of_debian_they_want_and_install_none(tmp_path):
    """An environment whose Python does nothing, and no program on the path."""
    if (make := which("make")) is None:
        pytest.skip("needs make")
    (python := tmp_path / "bin" / "python").parent.mkdir()
    python.write_text(f'#!{which("bash")}\necho ran "$@"\n')
    python.chmod(0o755)
    (tmp_path / f"ready-{sys.version_info.major}.{sys.version_info.minor}").touch()
    command = [make, "--no-print-directory", "test-all", f"PYTHON={sys.executable}", f"VENV={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env={"PATH": str(tmp_path)})
    wanted, missing, *rest = done.stdout.splitlines()
    assert "chromium chromium-driver redis-server postgresql prometheus" in wanted
    assert re.search("apt-get install chromium chromium-driver redis-server (postgresql )?prometheus$", missing)
    assert re.fullmatch(r"\S+ -m pytest .*\nran -m pytest .*", "\n".join(rest))


def test_a_data_set_that_is_absent_skips_with_the_reason(data_root, monkeypatch, tmp_path):
    monkeypatch.delenv("METAJAX_DATA", raising=False)
    with pytest.raises(pytest.skip.Exception, match="ml-1m: METAJAX_DATA is not set"):
        data_root("ml-1m")
    monkeypatch.setenv("METAJAX_DATA", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="there is no ml-1m below METAJAX_DATA"):
        data_root("ml-1m")
    (tmp_path / "ml-1m").mkdir()
    assert data_root("ml-1m") == tmp_path / "ml-1m"
