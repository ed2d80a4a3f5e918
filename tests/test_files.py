"""Files are whole or absent, and the manifest names what was altered."""

import json

import pytest

from metajax.errors import StorageError
from metajax.files import MANIFEST, atomic, check_manifest, read_json, sha256, write_json, write_manifest, write_text


@pytest.fixture
def folder(tmp_path):
    """Two files, one of them nested, under a manifest."""
    write_text(tmp_path / "a.txt", "alpha")
    write_text(tmp_path / "deep" / "b.txt", "beta")
    write_manifest(tmp_path)
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_atomic_leaves_the_file_and_nothing_else(tmp_path):
    with atomic(tmp_path / "new" / "a.txt") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "new" / "a.txt").exists()
    assert (tmp_path / "new" / "a.txt").read_text() == "whole"
    assert names(tmp_path / "new") == ["a.txt"]


def test_a_failed_write_keeps_the_old_file(tmp_path):
    def write_half():
        with atomic(tmp_path / "a.txt") as temporary:
            temporary.write_text("ne")
            raise RuntimeError("halfway")

    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError, match="halfway"):
        write_half()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_failed_first_write_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert names(tmp_path) == []


def test_json_comes_back(tmp_path):
    document = {"title": "Misérables, Les (1995)", "scores": [0.1, None]}
    write_json(tmp_path / "a.json", document)
    assert read_json(tmp_path / "a.json") == document


def test_read_json_refuses_what_is_not_there(tmp_path):
    with pytest.raises(StorageError, match=r"a\.json does not exist"):
        read_json(tmp_path / "a.json")


def test_read_json_refuses_what_is_too_large(tmp_path):
    write_json(tmp_path / "a.json", [1, 2, 3])
    size = (tmp_path / "a.json").stat().st_size
    with pytest.raises(StorageError, match=rf"a\.json has {size} bytes, more than the {size - 1} that are read"):
        read_json(tmp_path / "a.json", limit=size - 1)
    assert read_json(tmp_path / "a.json", limit=size) == [1, 2, 3]


@pytest.mark.parametrize("content", [b"{", b'"\xff"'], ids=["syntax", "encoding"])
def test_read_json_refuses_what_is_not_json(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"a\.json is not JSON"):
        read_json(tmp_path / "a.json")


def test_sha256_is_the_published_one(tmp_path):
    """The one-block message of FIPS 180-4."""
    write_text(tmp_path / "a.txt", "abc")
    assert sha256(tmp_path / "a.txt") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_untouched_folder_passes(folder):
    assert sorted(read_json(folder / MANIFEST)["files"]) == ["a.txt", "deep/b.txt"]
    check_manifest(folder)


def test_a_manifest_of_some_files_ignores_the_others(folder):
    write_manifest(folder, ["a.txt"])
    (folder / "deep" / "b.txt").unlink()
    check_manifest(folder)


def test_a_flipped_byte_is_named(folder):
    (folder / "deep" / "b.txt").write_text("beth")
    with pytest.raises(StorageError, match=r"b\.txt was altered: its sha256 is not the one in manifest\.json"):
        check_manifest(folder)


def test_a_missing_file_is_named(folder):
    (folder / "deep" / "b.txt").unlink()
    with pytest.raises(StorageError, match=r"b\.txt is missing, though manifest\.json lists it"):
        check_manifest(folder)


def test_a_wrong_size_is_named(folder):
    (folder / "a.txt").write_text("alphabet")
    with pytest.raises(StorageError, match=r"a\.txt has 8 bytes, but manifest\.json recorded 5"):
        check_manifest(folder)


@pytest.mark.parametrize("outside", ["../secret.txt", "deep/../../secret.txt", "{root}/secret.txt", "link/secret.txt"])
def test_a_path_outside_the_folder_is_refused(folder, outside):
    """Even when the file is there and its size and hash are right."""
    root = folder / "artifact"
    write_text(folder / "secret.txt", "secret")
    write_text(root / "a.txt", "alpha")
    (root / "deep").mkdir()
    (root / "link").symlink_to(folder)
    entry = {"bytes": 6, "sha256": sha256(folder / "secret.txt")}
    write_json(root / MANIFEST, {"files": {outside.format(root=folder): entry}})
    with pytest.raises(StorageError, match="which lies outside"):
        check_manifest(root)


@pytest.mark.parametrize("document", [[], {}, {"files": []}])
def test_a_manifest_of_another_kind_is_refused(tmp_path, document):
    (tmp_path / MANIFEST).write_text(json.dumps(document))
    with pytest.raises(StorageError, match="has no 'files' table"):
        check_manifest(tmp_path)


def test_a_folder_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(StorageError, match=r"manifest\.json does not exist"):
        check_manifest(tmp_path)


def test_a_manifest_entry_without_its_hash_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    write_json(tmp_path / MANIFEST, {"files": {"a.txt": {"bytes": 1}}})
    with pytest.raises(StorageError, match=r"does not say size and sha256 of a\.txt"):
        check_manifest(tmp_path)
