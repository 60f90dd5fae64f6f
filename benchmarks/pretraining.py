"""What pre-training is worth: test accuracy on MNIST with few and with all labels.

An autoencoder is trained on all training images without their labels. A softmax on its
encoder is then trained on 100, 1,000 and all labels: with the encoder fixed ("frozen") and
with all weights ("fine-tuned"), beside the same network from random weights with all weights
("random"), and with a fixed encoder of random weights ("random, frozen"). Every row of a
label count takes the same number of steps. Seeds differ in weights, noise and the labelled
images, drawn alike from every class.

The default variant is the second that was tried: `denoising` came first, and gained nothing with
100 labels on the test images (see README.md here). `variational` was then chosen on 5,000 training
images held out.

    TFDS_DATA_DIR=... python benchmarks/pretraining.py [--seeds 3] [--epochs 15]
"""

import argparse
import statistics
import sys
import time

import kerasae  # isort: skip  (first, so that TensorFlow starts quietly)
import keras
import numpy as np

WAYS = ("frozen", "fine-tuned", "random", "random, frozen")


def labelled(y: np.ndarray, count: int | None, seed: int) -> np.ndarray:
    """Return the rows of `count` labelled images, as many of each class; None is all."""
    rng = np.random.default_rng(seed)
    if count is None:
        return rng.permutation(len(y))
    classes = np.unique(y)
    per_class = count // len(classes)
    return np.concatenate([rng.permutation(np.flatnonzero(y == c))[:per_class] for c in classes])


def accuracy(
    ae: keras.Model, way: str, data: tuple, rows: np.ndarray, steps: int, seed: int
) -> float:
    """Train a classifier on some rows; return its accuracy on the test images."""
    x, y, x_test, y_test = data
    keras.utils.set_random_seed(seed)
    model = kerasae.models.classifier(ae, 10, trainable_encoder="frozen" not in way)
    batch = min(128, len(rows) // 2)
    epochs = max(1, round(steps * batch / len(rows)))
    model.fit(x[rows], y[rows], batch_size=batch, epochs=epochs, verbose=0)
    return float(model.evaluate(x_test, y_test, batch_size=1000, verbose=0)[1])


def main() -> None:
    """Train, classify and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="variational")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15, help="of the autoencoder")
    parser.add_argument("--steps", type=int, default=500, help="of a classifier; of all labels, 3x")
    arguments = parser.parse_args()
    splits = kerasae.data.load("mnist", validation=0)
    x, x_test = splits.array("train"), splits.array("test")
    data = (x, splits.labels["train"], x_test, splits.labels["test"])
    counts = {"100": 100, "1,000": 1000, f"{len(x):,}": None}
    found: dict[tuple[str, str], list[float]] = {}
    start = time.perf_counter()
    for seed in range(arguments.seeds):
        options = {"hidden": (512, 256), "input_dtype": "uint8", "seed": seed}
        keras.utils.set_random_seed(seed)
        pretrained = kerasae.build(arguments.variant, splits.shape, 64, **options)
        pretrained.compile()
        pretrained.fit(splits.train, epochs=arguments.epochs, verbose=0)
        keras.utils.set_random_seed(1000 + seed)
        random = kerasae.build(arguments.variant, splits.shape, 64, **options)
        for name, count in counts.items():
            rows = labelled(data[1], count, seed)
            steps = arguments.steps * (3 if count is None else 1)
            for way in WAYS:
                ae = random if way.startswith("random") else pretrained
                value = accuracy(ae, way, data, rows, steps, seed)
                found.setdefault((name, way), []).append(100 * value)
                print(f"seed {seed}, {name} labels, {way}: {100 * value:.2f}", file=sys.stderr)
    print(f"{arguments.variant}, {arguments.seeds} seeds, {time.perf_counter() - start:.0f} s")
    print(f"| labels | {' | '.join(WAYS)} |\n|---|{'---|' * len(WAYS)}")
    for name in counts:
        cells = []
        for way in WAYS:
            values = found[name, way]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.fmean(values):.2f} ± {spread:.2f}")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
