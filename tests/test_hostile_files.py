"""Files made to do harm: refused with a sentence, or bounded, and no code of theirs runs."""

import csv
import json
import os
import pickle
import shutil
import struct
import tracemalloc
import zipfile
import zlib

import keras
import numpy as np
import pytest

import kerasae
from kerasae import data
from kerasae.data import arrays, tables

MEGABYTE = 2**20


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    kerasae.build("undercomplete", (4,), 2, hidden=(3,)).save(path)
    return path


@pytest.fixture(scope="module")
def exported(saved):
    return kerasae.export(kerasae.load(saved), saved.parent / "exported", verify=False)


@pytest.fixture
def marker(tmp_path):
    """Return a file that hostile code would make; it must not be there in the end."""
    path = tmp_path / "marker"
    yield path
    assert not path.exists()


def repacked(source, target, changed=(), more=()):
    """Copy a `.keras` file with other content in some members, and with more of them."""
    changed = dict(changed)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, changed.get(name, old.read(name)))
        for name, content in dict(more).items():
            new.writestr(name, content)
    return target


def refused(path, sentence=r"cannot be read as a Keras file", most=64 * MEGABYTE):
    """Check that a file is refused in one sentence and with little memory."""
    tracemalloc.start()
    with pytest.raises(ValueError, match=sentence) as caught:
        kerasae.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert f"Received: path={str(path)!r}" in str(caught.value)
    assert len(str(caught.value)) < 600
    assert peak < most


# Keras files ------------------------------------------------------------------------------


def with_part(saved, target, part):
    """Put an object in the place of a layer of the encoder."""
    with zipfile.ZipFile(saved) as archive:
        config = json.loads(archive.read("config.json"))
    config["config"]["encoder_network"]["config"]["layers"][1] |= part
    return repacked(saved, target, {"config.json": json.dumps(config)})


def call_of(module, name, argument):
    return {"module": module, "class_name": name, "registered_name": name, "config": argument}


TRICKS = {
    "os.system": call_of("os", "system", {"command": "touch {marker}"}),
    "posix.system": call_of("posix", "system", {"command": "touch {marker}"}),
    "Popen": call_of("subprocess", "Popen", {"args": ["touch", "{marker}"]}),
    "exec": call_of("builtins", "exec", {"source": "open('{marker}', 'w')"}),
    "get_file": call_of(
        "keras.utils", "get_file", {"fname": "marker", "origin": "file:///etc/passwd"}
    ),
    "save": call_of("keras.saving", "save_model", {"filepath": "{marker}"}),
    "registered Keras name": {
        **call_of("os", "system", "touch {marker}"),
        "registered_name": "keras>system",
    },
    "registered kerasae name": {
        **call_of("os", "system", "touch {marker}"),
        "registered_name": "kerasae>system",
    },
    "ours": call_of("kerasae.data.writing", "write", {"path": "{marker}", "batches": []}),
    "function": {
        "module": "os",
        "class_name": "function",
        "config": "system",
        "registered_name": "system",
    },
    "own function": {
        "module": "builtins",
        "class_name": "function",
        "config": "exec",
        "registered_name": "exec",
    },
    "code": {
        "module": None,
        "class_name": "__lambda__",
        "config": {"value": ["4wAAAA==", None, None]},
    },
    "function of a Lambda": call_of(
        "keras.layers",
        "Lambda",
        {"function": call_of("builtins", "function", "exec"), "arguments": {"globals": {}}},
    ),
    "torch": call_of("keras.layers", "TorchModuleWrapper", {"module": "gASVAA=="}),
    "saved model": call_of("keras.layers", "TFSMLayer", {"filepath": "/tmp"}),
    "vocabulary": call_of("keras.layers", "StringLookup", {"vocabulary": "/etc/passwd"}),
    "old path": call_of("keras.src.saving.saving_lib", "load_model", {"filepath": "/etc/passwd"}),
}


@pytest.mark.parametrize("part", TRICKS.values(), ids=TRICKS)
def test_a_name_of_something_else_is_not_called(part, saved, tmp_path, marker):
    part = json.loads(json.dumps(part).replace("{marker}", str(marker)))
    refused(with_part(saved, tmp_path / "trick.keras", part))


@pytest.mark.filterwarnings("ignore:You are saving a model:UserWarning")
def test_a_lambda_with_code_is_refused_and_does_not_run(tmp_path, marker):
    name = str(marker)
    encoder = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Lambda(lambda x: (open(name, "w").close(), x[:, :2])[1]),
        ]
    )
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4)])
    ae = kerasae.build("linear", (4,), encoder=encoder, decoder=decoder)
    path = tmp_path / "code.keras"
    ae.save(path)
    marker.unlink()  # building the model here ran it
    refused(path, r"__lambda__, which may run code")


def test_what_the_user_registered_still_loads(tmp_path):
    """The guard is against strangers' code and not against the user's own."""

    @keras.saving.register_keras_serializable("mine")
    class Doubling(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    @keras.saving.register_keras_serializable("mine")
    def halved(x):
        return x / 2

    layers = [keras.layers.Dense(2), Doubling(), keras.layers.Lambda(halved)]
    encoder = keras.Sequential([keras.Input((4,)), *layers])
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4)])
    ae = kerasae.build("linear", (4,), encoder=encoder, decoder=decoder)
    ae.save(tmp_path / "mine.keras")
    x = np.eye(4, dtype="float32")
    np.testing.assert_array_equal(kerasae.load(tmp_path / "mine.keras").encode(x), ae.encode(x))


@pytest.mark.parametrize(
    ("changed", "more", "sentence"),
    [
        ({"config.json": b" " * (65 * MEGABYTE)}, {}, r"'config.json' would take 68,157,440 bytes"),
        ({"model.weights.h5": bytes(65 * MEGABYTE)}, {}, r"would take 68,157,440 bytes from 6"),
        ({}, {"assets/x": bytes(65 * MEGABYTE)}, r"'assets/x' would take"),
        ({}, {"../../escaped": "x"}, r"a file named '../../escaped'"),
        ({}, {"/tmp/escaped": "x"}, r"a file named '/tmp/escaped'"),
        ({}, {"a\\..\\..\\escaped": "x"}, r"a file named"),
        ({"config.json": "[" * 200_000}, {}, r"cannot be read as a Keras file"),
        ({"config.json": '{"config":' * 50_000}, {}, r"cannot be read as a Keras file"),
        ({"config.json": b"\xff\xfe"}, {}, r"cannot be read as a Keras file"),
        ({"config.json": "NaN"}, {}, r"config.json describes no model"),
    ],
    ids=[
        "config bomb",
        "weights bomb",
        "asset bomb",
        "parent",
        "absolute",
        "backslashes",
        "nested lists",
        "nested objects",
        "no text",
        "no object",
    ],
)
def test_a_hostile_archive_is_refused(changed, more, sentence, saved, tmp_path):
    refused(repacked(saved, tmp_path / "archive.keras", changed, more), sentence)
    assert [p.name for p in tmp_path.iterdir()] == ["archive.keras"]


def test_two_files_of_one_name_are_refused(saved, tmp_path):
    path = shutil.copy(saved, tmp_path / "twice.keras")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", "{}")
    refused(path, r"a file named 'config.json'")


def test_an_encrypted_archive_is_refused(saved, tmp_path):
    raw = bytearray(saved.read_bytes())
    raw[raw.rindex(b"config.json") - 46 + 8] |= 1  # the flag in the directory at the end
    (tmp_path / "locked.keras").write_bytes(raw)
    refused(tmp_path / "locked.keras", r"cannot be read as a Keras file: .*encrypted")


@pytest.mark.parametrize("units", [10**9, 2**62])
def test_a_layer_too_large_for_its_weights_is_not_made(units, saved, tmp_path):
    with zipfile.ZipFile(saved) as archive:
        config = json.loads(archive.read("config.json"))
    config["config"]["encoder_network"]["config"]["layers"][1]["config"]["units"] = units
    path = repacked(saved, tmp_path / "units.keras", {"config.json": json.dumps(config)})
    refused(path, r"units=[\d,]+ does not match [\d,]+ bytes of weights")


@pytest.mark.parametrize(
    "kind", ["external link", "soft link", "external storage", "virtual", "bomb"]
)
def test_weights_read_no_other_file(kind, saved, tmp_path):
    import h5py

    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["0"] = np.zeros((4, 3), "float32")
    weights = tmp_path / "model.weights.h5"
    with zipfile.ZipFile(saved) as archive:
        weights.write_bytes(archive.read("model.weights.h5"))
    with h5py.File(weights, "a") as file:
        found = []
        file.visititems(
            lambda name, item: (
                found.append(name) if getattr(item, "shape", None) == (4, 3) else None
            )
        )
        name = found[0]
        del file[name]
        if kind == "external link":
            file[name] = h5py.ExternalLink(str(other), "/0")
        elif kind == "soft link":
            file["elsewhere"] = np.zeros((4, 3), "float32")
            file[name] = h5py.SoftLink("/elsewhere")
        elif kind == "external storage":
            file.create_dataset(name, (4, 3), "float32", external=[(str(other), 0, 48)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4, 3), "float32")
            layout[:] = h5py.VirtualSource(str(other), "0", (4, 3))
            file.create_virtual_dataset(name, layout)
        else:
            file.create_dataset(
                name, (10**6, 10**6), "float32", chunks=(1000, 1000), compression="gzip"
            )
    path = repacked(saved, tmp_path / "linked.keras", {"model.weights.h5": weights.read_bytes()})
    refused(path)


# SavedModels ------------------------------------------------------------------------------


def as_model(folder, body, **objects):
    """Write a SavedModel whose signatures do what `body` does."""
    import tensorflow as tf

    module = tf.Module()
    for name, value in objects.items():
        setattr(module, name, value)

    @tf.function(input_signature=[])
    def info():
        return {"info": body(module)}

    module.info = info
    tf.saved_model.save(module, str(folder), signatures={"info": info})
    return folder


def text():
    import tensorflow as tf

    return tf.constant("{}")


def writing(marker):
    import tensorflow as tf

    def body(_):
        with tf.control_dependencies([tf.io.write_file(str(marker), "x")]):
            return tf.identity(text())

    return body


def reading(_):
    import tensorflow as tf

    return tf.io.read_file("/etc/passwd")


def calling(marker):
    import tensorflow as tf

    return lambda _: tf.py_function(lambda: marker.touch() or "{}", [], tf.string)


def looping(_):
    import tensorflow as tf

    return tf.as_string(tf.while_loop(lambda i: i >= 0, lambda i: 0 * i, [tf.constant(1)])[0])


def filling(_):
    import tensorflow as tf

    return tf.as_string(tf.reduce_sum(tf.fill([10**6, 10**6], 1.0)))


def test_a_saved_model_that_does_more_is_not_loaded(tmp_path, marker):
    """Not one of its operations runs: `info` would, at loading."""
    for name, body, sentence in (
        ("writing", writing(marker), r"the operation 'WriteFile'"),
        ("reading", reading, r"the operation 'ReadFile'"),
        ("calling", calling(marker), r"the operation 'EagerPyFunc'"),
        ("looping", looping, r"the operation '\w+' in its signature 'info'"),
        ("filling", filling, r"the operation '\w+' in its signature 'info'"),
    ):
        refused(as_model(tmp_path / name, body), sentence)
    refused(with_old_call(tmp_path / "old", marker), r"the operation 'WriteFile'")
    disguised = with_old_call(tmp_path / "disguised", marker, "Identity")
    refused(disguised, r"a function with the name of the operation 'Identity'")
    twice = with_old_call(tmp_path / "twice", marker, copies=1)
    refused(twice, r"several functions of one name")


def with_old_call(folder, marker, name=None, copies=0):
    """Write a model that calls a function in the old way: its name is that of the operation."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    inner = tf.function(lambda: writing(marker)(None), input_signature=[])
    module = tf.Module()
    module.outer = tf.function(lambda: inner() is None or {"y": text()}, input_signature=[])
    module.info = tf.function(lambda: {"info": text()}, input_signature=[])
    signatures = {"info": module.info, "reconstruct": module.outer}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((folder / "saved_model.pb").read_bytes())
    library = model.meta_graphs[0].graph_def.library.function
    [written] = [f for f in library if any(n.op == "WriteFile" for n in f.node_def)]
    known = written.signature.name
    nodes = [n for f in library for n in f.node_def if "f" in n.attr]
    calls = [n for n in nodes if n.attr["f"].func.name == known]
    assert calls
    for node in calls:
        node.op = name or known
        node.attr.clear()
    written.signature.name = name or known
    for _ in range(copies):
        library.add().CopyFrom(written)
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    return folder


def test_assets_and_tables_are_refused(tmp_path):
    import tensorflow as tf

    words = tmp_path / "words.txt"
    words.write_text("a\nb\n")
    asset = as_model(tmp_path / "asset", lambda _: text(), asset=tf.saved_model.Asset(str(words)))
    refused(asset, r"the asset 'words.txt'")
    pairs = tf.lookup.KeyValueTensorInitializer(["a"], [1])
    table = tf.lookup.StaticHashTable(pairs, 0)
    model = as_model(
        tmp_path / "table", lambda m: tf.as_string(m.table.lookup(text())), table=table
    )
    refused(model, r"an object of the kind 'resource'")


def test_an_asset_with_an_absolute_path_is_refused(exported, tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    folder = shutil.copytree(exported, tmp_path / "absolute")
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((folder / "saved_model.pb").read_bytes())
    model.meta_graphs[0].asset_file_def.add().filename = "/etc/passwd"
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    refused(folder, r"the asset '/etc/passwd'")


@pytest.mark.parametrize("name", ["saved_model.cpb", "saved_model.pbtxt"])
def test_another_model_beside_it_is_refused(name, exported, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "two")
    (folder / name).write_bytes(b"")
    refused(folder, f"a {name}")


def test_what_a_model_says_of_itself_is_checked(tmp_path):
    refused(as_model(tmp_path / "m", lambda _: text()), r"it lacks variant, input_shape")


CARDS = {
    "list": "[1]",
    "empty": "{}",
    "nested": "[" * 100_000,
    "shape text": {"input_shape": "4"},
    "shape negative": {"input_shape": [-4]},
    "dtype": {"input_dtype": "object"},
    "code list": {"latent_dim": [2]},
    "variant none": {"variant": None},
}


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_a_hostile_card_is_refused(card, exported, tmp_path):
    from kerasae.serving.runtimes import read_card

    known = json.loads((exported / "card.json").read_text())
    text = card if isinstance(card, str) else json.dumps({**known, **card})
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(ValueError, match=r"Received: path=.*card.json") as caught:
        read_card(tmp_path)
    assert len(str(caught.value)) < 500


def test_a_card_of_a_gigabyte_is_not_read(tmp_path):
    from kerasae.files import read_json
    from kerasae.serving.runtimes import read_card

    readers = {"card.json": read_card, "config.json": lambda p: read_json(p / "config.json")}
    for name, read in readers.items():
        with (tmp_path / name).open("wb") as file:
            file.truncate(2**30)  # sparse: it takes no room
        tracemalloc.start()
        with pytest.raises(ValueError, match=r"1,073,741,824 bytes"):
            read(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < MEGABYTE
        tracemalloc.stop()


# Data -------------------------------------------------------------------------------------


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickles_are_not_loaded(tmp_path, marker):
    evil = np.array([[Payload(marker)], [1]], object)
    np.save(tmp_path / "evil.npy", evil, allow_pickle=True)
    np.savez(tmp_path / "evil.npz", x=evil)
    (tmp_path / "plain.npz").write_bytes(pickle.dumps(Payload(marker)))
    (tmp_path / "plain.npy").write_bytes(pickle.dumps(Payload(marker)))
    for name in ("evil.npy", "evil.npz", "plain.npz", "plain.npy"):
        with pytest.raises(ValueError, match=f"'{name}'"):
            data.load(tmp_path / name)


def header(shape):
    """Return the head of a `.npy` file of an array that is not there."""
    words = str({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
    words += b" " * (-(10 + len(words) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(words)) + words


@pytest.mark.parametrize("shape", [(10**12, 4), (2**62, 4)])
def test_arrays_that_claim_to_be_huge_are_refused(shape, tmp_path):
    (tmp_path / "huge.npy").write_bytes(header(shape) + bytes(64))
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        archive.writestr("x.npy", header(shape) + bytes(64))
    for name in ("huge.npy", "huge.npz"):
        with pytest.raises(ValueError, match=f"'{name}' cannot be read"):
            data.load(tmp_path / name)


def test_an_array_archive_expands_within_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "_MOST", MEGABYTE)
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros((MEGABYTE, 1), "float32"))
    assert (tmp_path / "bomb.npz").stat().st_size < MEGABYTE / 100
    with pytest.raises(ValueError, match=r"read whole, at most 1,048,576 bytes.*save.*as \.npy"):
        data.load(tmp_path / "bomb.npz")


def test_a_million_columns_are_refused(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text(f"{'a,' * 10**6}a\n{'1,' * 10**6}1\n")
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"at most 131,072 columns.*1,000,001; save such rows"):
        data.load(path)
    assert tracemalloc.get_traced_memory()[1] < 32 * MEGABYTE
    tracemalloc.stop()


@pytest.mark.parametrize("start", ["", "a,b\n", "a,b\n1,2\n", 'a,b\n"'])
def test_a_line_without_end_is_refused(start, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "BLOCK_BYTES", 2**21)
    path = tmp_path / "long.csv"
    path.write_text(start + "1" * (16 * MEGABYTE))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"'long.csv' (has|holds) .*Received"):
        data.load(path)
    assert tracemalloc.get_traced_memory()[1] < 14 * MEGABYTE
    tracemalloc.stop()


def test_a_long_cell_of_the_first_line_is_read_or_named(tmp_path):
    before = csv.field_size_limit(131_072)  # Python's own
    try:
        path = tmp_path / "long.csv"
        path.write_text(f"{'a' * 200_000},b\n1,2\n")
        np.testing.assert_array_equal(next(data.batches(path)), [[1, 2]])
        path.write_text(f'1,"{"x" * 200_000}\n1,2\n')
        csv.field_size_limit(131_072)
        with pytest.raises(ValueError, match=r"'long.csv'.*Received: source="):
            data.load(path)
    finally:
        csv.field_size_limit(before)


def test_parquet_with_absurd_numbers_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    data.write(path, [np.ones((20, 2), "float32")])
    whole = path.read_bytes()
    for content in {
        "footer of 4 GB": whole[:-8] + struct.pack("<I", 2**32 - 1) + b"PAR1",
        "footer of nothing": whole[:-8] + struct.pack("<I", 0) + b"PAR1",
        "noise in the footer": whole[:-60] + bytes(52) + whole[-8:],
        "head alone": whole[:40] + whole[-8:],
    }.values():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"'x.parquet' cannot be read"):
            data.load(path)


def test_an_image_that_claims_to_be_huge_is_not_decoded(tmp_path):
    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    size = struct.pack(">IIBBBBB", 10**5, 10**5, 8, 0, 0, 0, 0)
    image = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    (tmp_path / "huge.png").write_bytes(image)
    with pytest.raises(ValueError, match=r"'huge.png' cannot be read as an image"):
        data.load(tmp_path / "huge.png")


def test_a_run_with_links_out_of_it_writes_nothing_there(saved, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.html").write_text("kept")
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text("{}")
    (run / "report.html").symlink_to(outside / "kept.html")
    (run / "model.keras").symlink_to(saved)
    before = saved.read_bytes()
    kerasae.report.write_report(run)
    assert not (run / "report.html").is_symlink()
    assert (outside / "kept.html").read_text() == "kept"
    assert kerasae.load(run).latent_dim == 2
    held = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
    kerasae.runs.calibrate(run / "model.keras", held, false_alarm_rate=0.1)
    assert kerasae.load(run).calibration.n == 30
    assert saved.read_bytes() == before
