"""Commands with bad words: exit status 2, one sentence, and nothing written or changed."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest

import kerasae

RUN, KERAS, EXPORT, FILES = "{w.run}", "{w.keras}", "{w.exported}", "{w.strange}"
GOOD, CALIBRATED = f"{FILES}/good.csv", "{w.folder}/calibrated.keras"


def train(*words):
    return ["train", "linear", "-d", GOOD, "--epochs", "1", "-o", "run", *words]


def put(verb, source=GOOD, *words, model=KERAS, output="out.csv"):
    return [verb, model, "-i", source, "-o", output, *words]


COMMANDS = {
    # Words
    "unknown command": (["trian"], r"'trian'.*'train'"),
    "unknown option": (["train", "linear", "--dta", "x"], r"--data"),
    "nothing to train": (["train"], r"Missing argument"),
    "option without value": (["train", "linear", "--data"], r"requires an argument"),
    "two variants": (["train", "linear", "vae"], r"unexpected extra argument"),
    "unicode command": (["trän"], r"No such command"),
    # train
    "variant": (["train", "denoisng"], r"'denoising'\?"),
    "empty variant": (["train", ""], r"Unknown variant"),
    "data name": (["train", "vae", "--data", "digit"], r"'digits'\?"),
    "data missing": (
        ["train", "vae", "--data", "no/such.csv"],
        r"no such file.* Received: 'no/such",
    ),
    "data missing in a long folder": (
        ["train", "vae", "--data", f"{FILES}/x1.npy"],
        r"There is no such file or folder\. Received",
    ),
    "data of a space": (["train", "vae", "-d", "a b/ü ñ.npy"], r"Received: 'a b/ü ñ.npy'"),
    "data of a model": (["train", "vae", "-d", KERAS], r"A data file must end in"),
    "data garbage": (["train", "vae", "-d", f"{FILES}/garbage.npy"], r"'garbage.npy' cannot be"),
    "data ragged": (["train", "vae", "-d", f"{FILES}/ragged.csv"], r"Expected 2 columns, got 1"),
    "data nan": (["train", "vae", "-d", f"{FILES}/nan.npy"], r"row 3, column 1"),
    "data folder": (["train", "vae", "-d", f"{FILES}/empty"], r"A folder must hold images"),
    "epochs zero": (train("--epochs", "0"), r"Received: epochs="),
    "epochs text": (train("--epochs", "ten"), r"Invalid value for '--epochs'"),
    "epochs huge": (train("--epochs", "1e9"), r"Invalid value for '--epochs'"),
    "batch negative": (train("--batch-size", "-3"), r"Received: batch_size="),
    "rate zero": (train("--learning-rate", "0"), r"Received: learning_rate="),
    "rate nan": (train("--learning-rate", "nan"), r"Received: learning_rate="),
    "seed negative": (train("--seed", "-1"), r"Received: seed="),
    "precision": (train("--precision", "float31"), r"'float32'\?"),
    "network": (train("--network", "convv"), r"'conv'\?"),
    "network of vectors": (train("--network", "conv"), r"network='conv' .*Received: input_shape="),
    "code": (train("--latent-dim", "0"), r"Received: latent_dim="),
    "set without value": (train("--set", "hidden"), r"--set takes KEY=VALUE"),
    "set unknown": (train("--set", "hiden=[3]"), r"'hidden'\?"),
    "set taken": (train("--set", "epochs=3"), r"write --epochs"),
    "set bad value": (train("--set", "hidden=many"), r"hidden must be"),
    "set shape": (train("--set", "input_shape=3"), r"input_shape"),
    "set empty": (train("--set", "=3"), r"--set takes KEY=VALUE"),
    "limit": (train("--limit", "1"), r"limit=1"),
    "share": (train("--validation", "-1"), r"`validation` must be a share"),
    "shares of all": (train("--validation", "0.9", "--test", "0.9"), r"too few|together"),
    "column": (train("--column", "e"), r"no column 'e'"),
    "label": (train("--label", "e"), r"no column 'e'"),
    "window": (train("--window", "1"), r"window"),
    "stride alone": (train("--window-stride", "2"), r"stride"),
    "binarize": (train("--binarize", "stat"), r"`binarize` must be None or one of"),
    "binarize beyond one": (train("--binarize", "static"), r"values in \[0, 1\]"),
    "resume and replace": (train("--resume", "--replace"), r"exclude each other"),
    "out is a run": (["train", "linear", "-d", GOOD, "-o", RUN], r"out exists"),
    "out is another folder": (["train", "linear", "-d", GOOD, "-o", FILES], r"something else"),
    "out is a file": (["train", "linear", "-d", GOOD, "-o", KERAS], r"something else"),
    "resume what is done": (["train", "linear", "--resume", "-o", RUN], r"is finished"),
    # variants and data
    "pattern": (["variants", "denoisng"], r"'denoising'\?"),
    "source": (["data", "digit"], r"'digits'\?"),
    "source missing": (["data", "nowhere.npy"], r"no such file"),
    "source cut": (["data", f"{FILES}/cut.npz"], r"cut.npz"),
    "source label": (["data", "digits", "--label", "y"], r"`label` is for files only"),
    # evaluate, calibrate, compare, report
    "evaluate nothing": (["evaluate", "nowhere"], r"no file or folder to load"),
    "evaluate a file": (["evaluate", KERAS], r"name data with a file"),
    "evaluate split": (["evaluate", RUN, "--split", "valid"], r"split must be"),
    "evaluate others": (["evaluate", RUN, "-d", f"{FILES}/three.npy"], r"samples of shape"),
    "evaluate garbage": (["evaluate", f"{FILES}/garbage.keras", "-d", GOOD], r"not a Keras file"),
    "evaluate seed": (["evaluate", RUN, "-d", GOOD, "--seed", "-1"], r"seed must be"),
    "evaluate broken config": (["evaluate", f"{FILES}/broken_config"], r"config.json must be JSON"),
    "evaluate no config": (["evaluate", f"{FILES}/no_config"], r"name data with a file"),
    "evaluate to nowhere": (
        ["evaluate", RUN, "-d", GOOD, "-q", "-o", "no/such/m.json"],
        r"no/such",
    ),
    "calibrate nothing": (["calibrate", "nowhere"], r"no file or folder to load"),
    "calibrate rate": (
        ["calibrate", RUN, "--false-alarm-rate", "2"],
        r"Invalid value for '--false-alarm-rate'",
    ),
    "calibrate rate zero": (["calibrate", RUN, "--false-alarm-rate", "0"], r"between 0 and 1"),
    "calibrate rate nan": (
        ["calibrate", RUN, "--false-alarm-rate", "nan"],
        r"between 0 and 1|Invalid value for '--false-alarm-rate'",
    ),
    "calibrate few": (["calibrate", RUN], r"needs at least 99 held-out samples"),
    "calibrate training rows": (
        ["calibrate", RUN, "-d", "{w.folder}/rows.csv", "--false-alarm-rate", "0.1"],
        r"not trained on",
    ),
    "calibrate export": (["calibrate", EXPORT, "-d", GOOD], r"cannot be changed"),
    "calibrate series": (["calibrate", RUN, "--stride", "1"], r"A stride needs data"),
    "compare nothing": (["compare"], r"Missing argument"),
    "compare a folder of runs": (["compare", "{w.folder}"], r"'.*/\*'"),
    "compare a file": (["compare", KERAS], r"run must be a run directory"),
    "compare missing": (["compare", RUN, "nowhere"], r"Received: run='nowhere'"),
    "report of nothing": (["report", "nowhere"], r"run must be a run directory"),
    "report of broken": (["report", f"{FILES}/broken_metrics"], r"metrics.json must be JSON"),
    "report of a list": (["report", f"{FILES}/list_config"], r"must hold a JSON object"),
    # files through a model
    "encode nothing": (put("encode", "nowhere.csv"), r"nowhere.csv"),
    "encode pattern": (put("encode", "no*.csv"), r"no\*\.csv"),
    "encode without input": (["encode", KERAS, "-o", "x.npy"], r"--input"),
    "encode without output": (["encode", KERAS, "-i", GOOD], r"--output"),
    "encode no model": (put("encode", model="nowhere"), r"no file or folder to load"),
    "encode cut model": (put("encode", model=f"{FILES}/cut.keras"), r"not a Keras file"),
    "encode foreign": (put("encode", model=f"{FILES}/foreign.keras"), r"Received: model="),
    "encode foreign export": (put("encode", model=f"{FILES}/foreign_export"), r"signature 'info'"),
    "encode wide": (put("encode", f"{FILES}/wide.csv"), r"5 columns"),
    "encode column": (put("encode", GOOD, "--column", "z"), r"no column 'z'"),
    "encode keep": (put("encode", GOOD, "--keep", "z"), r"no column 'z'"),
    "encode ragged": (put("encode", f"{FILES}/ragged.csv"), r"1 instead of 2|2 columns"),
    "encode nan": (put("encode", f"{FILES}/nan.npy"), r"row 3, column 1"),
    "encode batch": (put("encode", GOOD, "--batch-size", "0"), r"Invalid value for '--batch-size'"),
    "encode format": (put("encode", GOOD, "--format", "xml", output="folder"), r"format must be"),
    "encode to html": (put("encode", output="x.html"), r"must end in"),
    "encode to nowhere": (put("encode", output="no/such/x.csv"), r"no folder to write in"),
    "encode to a folder": (put("encode", output=f"{FILES}/folder.csv"), r"folder"),
    "encode resume": (put("encode", GOOD, "--resume"), r"resume is for several inputs"),
    "resume and replace again": (
        put("encode", GOOD, "--resume", "--replace"),
        r"exclude each other",
    ),
    "reconstruct text": (put("reconstruct", f"{FILES}/words.csv"), r"columns|not a number"),
    "score per nothing": (put("score", GOOD, "--per-features"), r"--per-feature"),
    "detect uncalibrated": (put("detect"), r"a model without calibration"),
    "detect rate": (
        put("detect", GOOD, "--false-alarm-rate", "7", model=CALIBRATED),
        r"between 0 and 1",
    ),
    "detect rate low": (
        put("detect", GOOD, "--false-alarm-rate", "1e-9", model=CALIBRATED),
        r"needs a calibration",
    ),
    "detect others": (put("detect", f"{FILES}/wide.csv", model=CALIBRATED), r"5 columns"),
    "generate without prior": (
        ["generate", KERAS, "-o", "x.npy"],
        r"generate .*Received: variant=",
    ),
    "generate count": (
        ["generate", KERAS, "-o", "x.npy", "-n", "0"],
        r"Invalid value for '--count'",
    ),
    "generate sampler": (["generate", RUN, "-o", "x.npy", "--sampler", "gaus"], r"'gaussian'"),
    "generate seed": (
        ["generate", KERAS, "-o", "x.npy", "--seed", "one"],
        r"Invalid value for '--seed'",
    ),
    "generate nothing": (["generate", "nowhere", "-o", "x.npy"], r"Received: path='nowhere'"),
    # export and serve
    "export nothing": (["export", "nowhere"], r"no file or folder to load"),
    "export file to where": (["export", KERAS], r"needs a folder to export to"),
    "export format": (["export", RUN, "--to", "onx"], r"'onnx'\?"),
    "export over a file": (["export", RUN, "-o", KERAS], r"path must be a folder"),
    "export an export": (["export", EXPORT], r"cannot be changed"),
    "export samples": (["export", RUN, "--samples", f"{FILES}/three.npy"], r"samples must have"),
    "serve nothing": (["serve", "nowhere"], r"no file or folder to serve"),
    "serve no model": (["serve", FILES + "/empty"], r"path must be a folder of versions"),
    "serve a run": (["serve", RUN], r"has not been exported"),
    "serve port": (["serve", EXPORT, "--port", "70000"], r"Invalid value for '--port'"),
    "serve same ports": (["serve", EXPORT, "--port", "81", "--grpc-port", "81"], r"grpc_port=81"),
    "serve runtime": (["serve", EXPORT, "--runtime", "torch"], r"runtime must be"),
    "serve name": (["serve", EXPORT, "--name", "a/b"], r"letters, digits"),
    "serve wait": (
        ["serve", EXPORT, "--max-batch-time", "nan"],
        r"max_batch_time must be|Invalid value for '--max-batch-time'",
    ),
}


@pytest.mark.parametrize(("words", "sentence"), COMMANDS.values(), ids=COMMANDS)
def test_commands(words, sentence, refused_on_the_command_line, no_server):
    refused_on_the_command_line(words, sentence)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_gets_a_sentence(world, tmp_path, refused_on_the_command_line):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        refused_on_the_command_line(put("encode"), r"Permission denied|cannot be written")
    finally:
        tmp_path.chmod(stat.S_IRWXU)


@pytest.mark.parametrize("name", ["a b", "ü ñ 漢字", "quo'te", "[x]", "100%", "-dash", "a{b}"])
def test_paths_of_all_kinds_work(name, world, tmp_path):
    """What looks strange and is not: it must not be refused."""
    folder = tmp_path / name
    folder.mkdir()
    np.save(folder / f"{name}.npy", world.x)
    path = folder / f"{name}.keras"
    world.ae.save(path)
    done = kerasae.scoring.apply(path, "encode", folder / f"{name}.npy", folder / f"{name}.csv")
    assert done.rows == len(world.x)
    codes = next(kerasae.data.batches(Path(folder / f"{name}.csv")))
    np.testing.assert_allclose(codes, world.ae.encode(world.x), rtol=1e-5, atol=1e-6)
