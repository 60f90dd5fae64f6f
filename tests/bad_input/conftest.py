"""What the battery of bad input shares: small models, strange files, and the check itself."""

import gzip
import hashlib
import json
import os
import pickle
import re
import shutil
import warnings
import zipfile
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import kerasae
from kerasae import cli

# What the command line takes for the user's mistake, and prints as one sentence.
EXPECTED = (ValueError, OSError, ImportError, ArithmeticError)


def tree(folder):
    """Return what is in a folder: the digest of each file, the target of each link."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return found


def state(ae):
    """Return what must not change in a model."""
    values = [keras.ops.convert_to_numpy(v).tobytes() for v in ae.variables]
    return [*values, id(ae.calibration), id(ae.sampler), id(ae.training_rows)]


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Models and files that no case may change."""
    folder = tmp_path_factory.mktemp("world")
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4)).astype("float32")
    images = rng.integers(0, 256, (60, 4, 4, 1)).astype("uint8")
    w = SimpleNamespace(folder=folder, x=x, images=images, kerasae=kerasae)
    w.ae = kerasae.build("linear", (4,), 2)
    w.ae.compile()
    w.calibrated = kerasae.build("undercomplete", (4,), 2, hidden=(3,))
    w.calibrated.calibrate(x, 0.05)
    w.image = kerasae.build("undercomplete", (4, 4, 1), 2, hidden=(3,), input_dtype="uint8")
    w.image.compile()
    w.vae = kerasae.build("variational", (4,), 2, hidden=(3,))
    w.three = kerasae.build("linear", (4,), 3)
    w.series = kerasae.build("sequence", (8, 1), 2, hidden=(2,))
    w.unadapted = kerasae.build("linear", (4,), 2, scaler="standardize")
    w.unadapted.compile()
    w.models = [w.ae, w.calibrated, w.image, w.vae, w.three, w.series]
    w.splits = kerasae.data.load(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = kerasae.train(
            "linear",
            data=_table(folder),
            out=folder / "run",
            epochs=1,
            latent_dim=2,
            verbose=0,
            export=False,
        )
    w.run = run.path
    w.keras = folder / "model.keras"
    w.ae.save(w.keras)
    w.calibrated.save(folder / "calibrated.keras")
    w.exported = kerasae.export(w.ae, folder / "exported", verify=False)
    w.served = kerasae.load(w.exported)
    w.strange = _strange(folder, w)
    w.before = tree(folder)
    return w


def _table(folder):
    path = folder / "rows.csv"
    rows = np.random.default_rng(1).normal(size=(80, 4)).astype("float32")
    kerasae.data.write(path, [rows], ["a", "b", "c", "d"])
    return path


def _strange(folder, w):
    """Write the files that nobody should have given; return the folder they are in."""
    s = folder / "strange"
    s.mkdir()
    (s / "empty").mkdir()
    for suffix in ("npy", "npz", "csv", "parquet", "keras", "png"):
        (s / f"nothing.{suffix}").write_bytes(b"")
        (s / f"garbage.{suffix}").write_bytes(bytes(range(256)) * 40)
        (s / f"folder.{suffix}").mkdir()
    np.save(s / "good.npy", w.x)
    (s / "wide.csv").write_text("a,b,c,d,e\n" + "1,2,3,4,5\n" * 30)
    (s / "good.csv").write_text("a,b,c,d\n" + "1,2,3,4\n" * 30)
    (s / "cut.npy").write_bytes((s / "good.npy").read_bytes()[:500])
    np.savez(s / "good.npz", x=w.x, y=np.arange(120) % 3)
    (s / "cut.npz").write_bytes((s / "good.npz").read_bytes()[:700])
    np.savez(s / "two.npz", a=w.x, b=w.x)
    np.save(s / "objects.npy", np.array([{}, {}], object), allow_pickle=True)
    np.savez(s / "objects.npz", x=np.array([[{}], [{}]], object))
    np.save(s / "text.npy", np.array([["a", "b"]]))
    np.save(s / "complex.npy", np.ones((3, 2), "complex64"))
    np.save(s / "flat.npy", np.ones(50, "float32"))
    np.save(s / "scalar.npy", np.float32(1))
    np.save(s / "none.npy", np.zeros((0, 4), "float32"))
    np.save(s / "nan.npy", np.where(np.arange(40).reshape(10, 4) == 13, np.nan, 1.0))
    np.save(s / "huge.npy", np.full((10, 4), 1e300))
    np.save(s / "three.npy", w.x[:, :3])
    (s / "header.csv").write_text("a,b,c,d\n")
    (s / "ragged.csv").write_text("a,b\n1,2\n3\n")
    (s / "words.csv").write_text("a,b\n1,2\n3,four\n")
    (s / "missing.csv").write_text("a,b\n1,2\n3,\n")
    (s / "infinite.csv").write_text("a,b\n1,2\n3,inf\n")
    (s / "twice.csv").write_text("a,a\n1,2\n3,4\n")
    (s / "zeros.csv").write_bytes(b"\0\0\0\0\n\0\n")
    (s / "zipped.csv").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    (s / "table.parquet.txt").write_text("a\n1\n")
    (s / "page.html").write_text("<html></html>")
    (s / "pickled.npy").write_bytes(pickle.dumps([1, 2]))
    (s / "cut.parquet").write_bytes(b"PAR1" + b"\0" * 100)
    (s / "csv.parquet").write_text("a,b\n1,2\n")
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": ["x", "y"], "b": [1, 2]}), s / "text.parquet")
    pq.write_table(pa.table({"a": [1.0, None], "b": [1, 2]}), s / "null.parquet")
    pq.write_table(pa.table({"a": pa.array([], pa.float32())}), s / "none.parquet")
    (s / "mixed").mkdir()
    (s / "mixed" / "1.csv").write_text("a,b\n1,2\n")
    (s / "mixed" / "2.csv").write_text("a,c\n1,2\n")
    (s / "cut.keras").write_bytes(w.keras.read_bytes()[:3000])
    shutil.copy(w.keras, s / "model.h5")
    foreign = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    foreign.save(s / "foreign.keras")
    with zipfile.ZipFile(s / "photos.keras", "w") as archive:
        archive.writestr("photo.jpg", b"...")
    with zipfile.ZipFile(s / "words.keras", "w") as archive:
        archive.writestr("config.json", "no json")
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", b"")
    with zipfile.ZipFile(s / "list.keras", "w") as archive:
        archive.writestr("config.json", "[1, 2]")
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", b"")
    _repacked(w.keras, s / "weights.keras", {"model.weights.h5": b"not HDF5"})
    _repacked(
        w.keras,
        s / "unknown.keras",
        {
            "config.json": json.dumps(
                {"module": "nobody.knows", "class_name": "Model", "config": {}}
            ),
        },
    )
    export = s / "foreign_export"
    foreign.export(export, verbose=False)
    broken = s / "broken_export"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"garbage")
    shutil.copytree(w.exported, s / "unfinished_export")
    (s / "unfinished_export" / "variables" / "variables.index").unlink()
    light = shutil.ignore_patterns("figures", "logs", "report.html")
    shutil.copytree(w.run, s / "no_config", ignore=light)
    (s / "no_config" / "config.json").unlink()
    for name, text in (("broken_config", "{"), ("list_config", "[]"), ("empty_config", "{}")):
        shutil.copytree(w.run, s / name, ignore=light)
        (s / name / "config.json").write_text(text)
    shutil.copytree(w.run, s / "broken_metrics", ignore=light)
    (s / "broken_metrics" / "metrics.json").write_text('{"test": ')
    shutil.copytree(w.run, s / "broken_model", ignore=light)
    (s / "broken_model" / "model.keras").write_bytes(b"no zip")
    return s


def _repacked(source, target, files):
    """Copy a `.keras` file with other content in some of its members."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, files.get(name, old.read(name)))


@pytest.fixture
def no_server(monkeypatch):
    """Let a test fail that starts a server."""

    def started(*_):
        raise AssertionError("A server was started.")

    monkeypatch.setattr("kerasae.serving.server._run", started)


@pytest.fixture
def refused(world, tmp_path, monkeypatch):
    """Check that a call is refused with a sentence, and that nothing was written or changed."""
    monkeypatch.chdir(tmp_path)

    def check(call, sentence):
        before = [state(ae) for ae in world.models]
        with pytest.raises(EXPECTED) as caught:
            call(world)
        text = str(caught.value)
        assert re.search(sentence, text), text
        assert "\n" not in text
        # The operating system has sentences of its own.
        system = isinstance(caught.value, OSError) and caught.value.errno
        assert "Received: " in text or system, text
        assert len(text) < 900, text
        assert tree(tmp_path) == {}
        assert tree(world.folder) == world.before
        assert [state(ae) for ae in world.models] == before

    return check


@pytest.fixture
def refused_on_the_command_line(world, tmp_path, monkeypatch, capsys):
    """The same of the words of a command: status 2 and one line on standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERASAE_DEBUG", raising=False)

    def check(words, sentence):
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main([str(word).format(w=world) for word in words])
        out, err = capsys.readouterr()
        assert exit_.value.code == 2, err
        assert out == ""
        assert re.search(sentence, err), err
        assert err.count("\n") == 1, err
        assert "Traceback" not in err
        assert tree(tmp_path) == {}
        assert tree(world.folder) == world.before

    return check
