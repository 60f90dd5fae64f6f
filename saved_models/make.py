"""Trains the models of this folder anew, with the package's own commands.

    make saved-models                          # all of them
    .venv/bin/python saved_models/make.py denoising-mnist

MNIST comes from TensorFlow Datasets, which downloads it once (11 MiB) or reads it from
TFDS_DATA_DIR. Each model takes its place here only when it is complete and verified.
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parent
BEGIN, END = "<!-- table: made by make.py -->", "<!-- end -->"
LIMIT = 2_000_000  # bytes of one model, everything in its folder counted

# Name of a model to the options of `kerasae train` and what it is for.
MODELS = {
    "undercomplete-mnist": (
        "undercomplete --latent-dim 32",
        "codes of 32 numbers to search, cluster and classify by",
    ),
    "denoising-mnist": (
        "denoising --network conv --latent-dim 32 --set corruption_level=0.5 --epochs 10",
        "removes Gaussian noise of standard deviation 0.5 of the pixels' range",
    ),
    "sparse_kl-mnist": (
        "sparse_kl --latent-dim 128 --set hidden=[]",
        "128 units, each active for few digits: strokes, to look at",
    ),
    "variational-mnist": (
        "variational --latent-dim 20 --set hidden=[200]",
        "new digits from 20 Gaussian numbers",
    ),
    "convolutional-mnist": (
        "convolutional --latent-dim 32 --epochs 10",
        "the most exact reconstructions of the five at 32 numbers",
    ),
}


def main():
    """Make the models that the command names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="MODEL", help="all by default")
    parser.add_argument("--export-only", action="store_true", help="of the runs that are there")
    options = parser.parse_args()
    for name in options.names:
        if name not in MODELS:
            parser.error(f"there is no model {name!r}; there are {', '.join(MODELS)}")
    with tempfile.TemporaryDirectory() as scratch:
        samples = Path(scratch, "samples.npy")
        np.save(samples, publishable_samples())
        for name in options.names or MODELS:
            run = ROOT / "runs" / name
            if not options.export_only:
                train(run, MODELS[name][0])
            publish(run, samples)
    page = HERE / "README.md"
    page.write_text(with_table(page.read_text("utf-8")), "utf-8")


def train(run, options):
    """Train a run with the options of the table, and calibrate it."""
    kerasae(
        "train", *shlex.split(options), "--data", "mnist", "--no-export", "--out", run, "--replace"
    )
    kerasae("calibrate", run, "--false-alarm-rate", "0.01")


def publish(run, samples):
    """Export a run, and let the result take the place of the model of that name."""
    new, target = HERE / f".{run.name}", HERE / run.name
    shutil.rmtree(new, ignore_errors=True)
    try:
        kerasae("export", run, "--output", new, "--samples", samples)
        if size_of(new) > LIMIT:
            sys.exit(f"A model has {LIMIT:,} bytes at most. {run.name}: {size_of(new):,} bytes")
        shutil.rmtree(target, ignore_errors=True)
        new.rename(target)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def size_of(folder):
    """Return the bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def kerasae(*words):
    """Run a command as a user would, and show it."""
    words = [str(word) for word in words]
    print("$ kerasae", shlex.join(words), flush=True)
    subprocess.run([sys.executable, "-m", "kerasae", *words], check=True)


def publishable_samples():
    """Return digits of scikit-learn, enlarged to 28x28: no image of MNIST goes into a model."""
    from sklearn.datasets import load_digits

    small = np.rint(load_digits().images[:257] * (255 / 16)).astype("uint8")
    large = small.repeat(3, axis=1).repeat(3, axis=2)
    return np.pad(large, ((0, 0), (2, 2), (2, 2)))[..., None]


def table():
    """Return the table of the models, made from their cards."""
    lines = [
        "| model | what it is for | code | PSNR, dB | MB | made by |",
        "|---|---|---|---|---|---|",
    ]
    for name, (options, purpose) in MODELS.items():
        folder = HERE / name / "1"
        if not folder.is_dir():
            continue
        card = json.loads((folder / "card.json").read_text("utf-8"))
        test, baselines = card["metrics"]["test"], card["metrics"]["baselines"]
        beside = baselines.get("linear_denoiser", baselines["pca"])
        lines.append(
            f"| [{name}]({name}/1/README.md) | {purpose} | {card['latent_dim']} "
            f"| {test['psnr']:.1f} ({beside['psnr']:.1f}) | {size_of(folder) / 1e6:.2f} "
            f"| `kerasae train {options} --data mnist` |"
        )
    return "\n".join(lines)


def with_table(page):
    """Return the page of this folder with its table made anew."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    main()
