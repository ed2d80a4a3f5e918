"""Smaller and portable artifacts: quantised, pruned, as one StableHLO program; and signed."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from metajax import Recommender
from metajax.cli import main
from metajax.errors import ConfigError, StorageError
from metajax.experiment.artifact import flatten, read_artifact
from metajax.experiment.pruned import weight_masks
from metajax.experiment.quantized import dequantize, quantize
from metajax.files import write_json, write_manifest

pytestmark = pytest.mark.usefixtures("as_users_run")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    before = jax.config.jax_compilation_cache_dir
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def test_bfloat16_keeps_eight_bits_and_int8_a_scale_for_each_row():
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(5, 16)) * 10.0 ** np.arange(-2, 3)[:, None]).astype(np.float32)
    rows[1] = 0
    arrays = {
        "params/a": rows,
        "params/narrow": rows[:, :2],
        "params/b": rows[0],
        "items/c": rows,
        "num_ratings": rows[0],
    }
    for tables, step in (("bfloat16", np.abs(rows) / 256), ("int8", np.abs(rows).max(axis=1, keepdims=True) / 254)):
        stored = quantize(arrays, tables)
        assert stored["params/a"].dtype == tables
        assert sum(one.nbytes for one in stored.values()) < sum(one.nbytes for one in arrays.values())
        back = dequantize(stored)
        assert back.keys() == arrays.keys()
        assert all(one.dtype == np.float32 for one in back.values())
        assert (np.abs(back["params/a"] - rows) <= step * 1.01).all()
        for name in ("params/b", "items/c", "num_ratings", *(["params/narrow"] if tables == "int8" else [])):
            np.testing.assert_array_equal(back[name], arrays[name])
    assert quantize(arrays, "float32") == arrays


def test_int8_without_its_scales_is_refused(run, tmp_path, capsys):
    assert main(["export", str(run), str(tmp_path / "small"), "--tables", "int8"]) == 0
    path = tmp_path / "small" / "arrays.safetensors"
    arrays = load_file(path)
    arrays["params/model/item/factors/columns/id/embedding"] = np.ones((30, 4), np.int8)
    save_file(arrays, path)
    write_manifest(tmp_path / "small")
    with pytest.raises(StorageError, match="is int8 but has no fitting scale/params/model/item"):
        read_artifact(tmp_path / "small")


@pytest.mark.slow
def test_a_smaller_export_says_what_it_costs_and_is_read_as_any_other(run, tmp_path, capsys):
    assert main(["export", str(run), str(tmp_path / "small"), "--tables", "bfloat16", "--errors"]) == 0
    told = capsys.readouterr().out
    assert "Predictions for synthetic users move by" in told
    assert "MAE as exported: user_cold " in told
    whole, small = (read_artifact(one) for one in (run / "seed-0" / "artifact", tmp_path / "small"))
    one, other = flatten(whole.meta_params), flatten(small.meta_params)
    assert {name: array.dtype for name, array in other.items()} == {name: array.dtype for name, array in one.items()}
    assert any((one[name] != other[name]).any() for name in one)
    sizes = [(one / "arrays.safetensors").stat().st_size for one in (run / "seed-0" / "artifact", tmp_path / "small")]
    assert sizes[1] < sizes[0]
    ratings = {0: 5.0, 20: 1.0}
    before, after = (Recommender.load(path).adapt(ratings).recommend(5) for path in (run, tmp_path / "small"))
    assert [one.score for one in before] == pytest.approx([one.score for one in after], abs=0.05)


@pytest.mark.slow
def test_pruned_weights_stay_0_while_the_others_train_on(run, tmp_path, capsys):
    assert main(["export", str(run), str(tmp_path / "small"), "--prune", "0.5", "--prune-steps", "20"]) == 0
    told = capsys.readouterr().out
    for stage in ("as trained", "pruned", "trained on", "as exported"):
        assert f"MAE {stage}: user_cold " in told
    artifact = read_artifact(run / "seed-0" / "artifact")
    whole, small = artifact.meta_params["model"], read_artifact(tmp_path / "small").meta_params["model"]
    masks = weight_masks({"model": whole}, 0.5)["model"]
    labels = artifact.parts().learner.labels(artifact.meta_params)["model"]
    for before, after, mask, label in zip(*map(jax.tree.leaves, (whole, small, masks, labels)), strict=True):
        assert (np.asarray(after)[np.asarray(mask) == 0] == 0).all()
        assert label == "freeze" or (np.asarray(after) != np.asarray(before) * np.asarray(mask)).any()
        assert before.ndim < 2 or np.isclose(np.mean(mask), 0.5, atol=0.1)
    assert main(["export", str(run), str(tmp_path / "bare"), "--prune", "0.5", "--prune-steps", "0"]) == 0
    bare = read_artifact(tmp_path / "bare").meta_params["model"]
    jax.tree.map(np.testing.assert_array_equal, bare, jax.tree.map(jnp.multiply, whole, masks))
    assert main(["export", str(run), str(tmp_path / "none"), "--prune", "1.5"]) == 2
    assert "lies between 0 and 1, got 1.5" in capsys.readouterr().err


def test_the_exported_program_ranks_as_the_recommender_does(run, tmp_path):
    pytest.importorskip("flatbuffers")
    from jax import export

    assert main(["export", str(run), str(tmp_path / "out"), "--stablehlo"]) == 0
    program = export.deserialize(bytearray((tmp_path / "out" / "rank.stablehlo").read_bytes()))
    assert program.platforms == ("cpu", "cuda")
    recommender = Recommender.load(tmp_path / "out")
    person = recommender.adapt({0: 5.0, 20: 1.0, 3: 4.0})
    rated, ratings = np.full(128, -1, np.int32), np.zeros(128, np.float32)
    rated[:3], ratings[:3] = person.rated, person.target
    positions, scores = program.call(rated, ratings, recommender.artifact.new_user(), np.int32(2))
    expected = person.recommend(40, min_ratings=2)
    assert [recommender.artifact.item_ids[one] for one in positions if one >= 0] == [one.item for one in expected]
    clipped = np.clip(scores[: len(expected)], 1, 5)
    np.testing.assert_allclose(clipped, [one.score for one in expected], rtol=1e-5, atol=1e-6)


def write_keys(folder):
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ed25519, x25519

    for name, key in (
        ("mine", ed25519.Ed25519PrivateKey),
        ("other", ed25519.Ed25519PrivateKey),
        ("kind", x25519.X25519PrivateKey),
    ):
        private = key.generate()
        no_password = pem.NoEncryption()
        (folder / name).write_bytes(private.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, no_password))
        public = private.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
        (folder / f"{name}.pub").write_bytes(public)


def test_only_what_the_right_key_signed_is_read(run, tmp_path, capsys):
    pytest.importorskip("cryptography")
    write_keys(tmp_path)
    signed = tmp_path / "signed"
    assert main(["export", str(run), str(signed), "--sign", str(tmp_path / "mine")]) == 0
    assert Recommender.load(signed, public_key=tmp_path / "mine.pub").adapt({0: 5.0}).recommend(1)
    assert main(["inspect", str(signed), "--public-key", str(tmp_path / "mine.pub")]) == 0
    assert main(["inspect", str(signed), "--public-key", str(tmp_path / "other.pub")]) == 5
    with pytest.raises(StorageError, match=r"signature of .* is not by the owner of .*other\.pub"):
        Recommender.load(signed, public_key=tmp_path / "other.pub")
    with pytest.raises(StorageError, match="is not signed, but a public key was given"):
        Recommender.load(run, public_key=tmp_path / "mine.pub")
    write_json(signed / "metrics.json", {"user_cold": {}})
    write_manifest(signed)  # as somebody would who alters a file and its hash
    read_artifact(signed)
    with pytest.raises(StorageError, match=r"or its manifest\.json was altered"):
        read_artifact(signed, public_key=tmp_path / "mine.pub")


def test_keys_that_are_none_are_told(run, tmp_path):
    pytest.importorskip("cryptography")
    write_keys(tmp_path)
    artifact = run / "seed-0" / "artifact"
    for name, told in (
        ("none", "holds no public key"),
        ("mine", "holds no public key"),
        ("kind.pub", "holds a X25519"),
    ):
        with pytest.raises(ConfigError, match=told):
            read_artifact(artifact, public_key=tmp_path / name)
    for name, told in (
        ("mine.pub", "holds no private key without a password"),
        ("kind", "holds a X25519PrivateKey, wanted"),
    ):
        assert main(["export", str(run), str(tmp_path / "out"), "--sign", str(tmp_path / name)]) == 2
        assert not (tmp_path / "out").exists()
        from metajax.experiment.signature import sign

        with pytest.raises(ConfigError, match=told):
            sign(artifact, tmp_path / name)


@pytest.mark.parametrize(("missing", "flags"), [("flatbuffers", ["--stablehlo"]), ("cryptography", ["--sign", "key"])])
def test_without_its_library_the_extra_is_named(run, tmp_path, monkeypatch, capsys, missing, flags):
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["export", str(run), str(tmp_path / "out"), *flags]) == 2
    assert f"{missing}: pip install 'metajax[serve]'" in capsys.readouterr().err
