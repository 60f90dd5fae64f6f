"""What variational autoencoders of published protocols reach: bounds in nats, and samples.

- grey: 784-400-20 ReLU, Adam 1e-3, batch 128, 10 epochs, MNIST as grey values, summed BCE and KL
  (the VAE of the PyTorch examples; published test loss 105.6).
- static: 784-400-40 ReLU on the fixed binarization of Larochelle, batch 100 (Rezende and
  Mohamed 2015: 89.9; Pythae: 89.78, after 500 epochs of Adam 1e-4), measured on the validation
  split. Here a short schedule of Adam 1e-3. KERASAE_BINARIZED_MNIST names the folder of
  train.npz and valid.npz, with rows packed by numpy.packbits under "x".
- dynamic: 784-200-200-50 tanh on dynamic binarization (Burda et al. 2015: L_5000 = -86.76 after
  3,280 epochs, 25 active units, batch 20). Here a short schedule of Adam 1e-3, batch 100.

    python benchmarks/likelihood.py [--seeds 3] [--epochs 10] [--only grey]
"""

import argparse
import os
import time
from pathlib import Path

import kerasae  # isort: skip  (first, so that TensorFlow starts quietly)
import keras
import numpy as np

from kerasae import evaluation

BINARY = {"loss": "bce", "output_activation": "sigmoid"}


def told(result: dict, *ks: int) -> str:
    """Return the bounds of a variational report as cells of a table."""
    bounds = [result["importance_weighted"][str(k)] for k in ks]
    cells = [f"{-b['nats']:.2f} ± {b['standard_error']:.2f}" for b in bounds]
    active = f"{result['active_units']} of {len(result['kl_per_dimension'])}"
    cost = f"{result['reconstruction_nats']:.2f} | {result['kl_nats']:.2f}"
    return f"{-result['elbo_nats']:.2f} | {cost} | {' | '.join(cells)} | {active}"


def grey(seeds: int, epochs: int) -> None:
    """Train on grey values, once for each seed; bounds on the test split, and its samples."""
    splits = kerasae.data.load("mnist", validation=0)
    print(
        "\n| grey, seed | -ELBO | reconstruction | KL | -L_100 (1,000 images) | active | seconds |"
    )
    print("|---|---|---|---|---|---|---|")
    losses, qualities = [], []
    for seed in range(seeds):
        keras.utils.set_random_seed(seed)
        ae = kerasae.build(
            "variational", splits.shape, 20, hidden=(400,), input_dtype=splits.dtype, seed=seed
        )
        ae.compile()
        start = time.perf_counter()
        splits.set_epoch(0)
        ae.fit(splits.train, epochs=epochs, verbose=0)
        seconds = time.perf_counter() - start
        whole = evaluation.variational(ae, splits.test, samples=(1,), seed=seed)
        tight = evaluation.variational(ae, splits.test, samples=(100,), seed=seed, limit=1000)
        whole["importance_weighted"] |= tight["importance_weighted"]
        print(f"| {seed} | {told(whole, 100)} | {seconds:.0f} |", flush=True)
        losses.append(-whole["elbo_nats"])
        start = time.perf_counter()
        qualities.append(evaluation.sample_quality(ae, splits))
        qualities[-1]["seconds"] = round(time.perf_counter() - start)
    print(f"\nmean {np.mean(losses):.2f}, standard deviation {np.std(losses, ddof=1):.2f}")
    for quality in qualities:
        print(quality)


def curve(
    name: str, ae: keras.Model, train: object, test: object, epochs: int, k: int, images: int
) -> None:
    """Train and print bounds along the way, after 1, 2, 4, ... epochs."""
    print(f"\n| {name}, epochs | -ELBO | reconstruction | KL | -L_1 | -L_{k} | active | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    done, seconds = 0, 0.0
    marks = [*(2**i for i in range(20) if 2**i < epochs), epochs]
    for mark in marks:
        start = time.perf_counter()
        ae.fit(train, epochs=mark, initial_epoch=done, verbose=0)
        seconds, done = seconds + time.perf_counter() - start, mark
        result = evaluation.variational(ae, test, samples=(1, k), limit=images)
        print(f"| {mark} | {told(result, 1, k)} | {seconds:.0f} |", flush=True)
    print(f"On {images} images; pixels: {result['pixels']}")


def static(folder: Path, epochs: int) -> None:
    """Train on the fixed binarization; L_200 on its validation split along the way."""
    x = {
        name: np.unpackbits(np.load(folder / f"{name}.npz")["x"], axis=1).astype("float32")
        for name in ("train", "valid")
    }
    keras.utils.set_random_seed(0)
    ae = kerasae.build("variational", (784,), 40, hidden=(400,), seed=0, **BINARY)
    ae.compile()
    train = kerasae.data.load(x["train"], batch_size=100, validation=0, test=0).train
    curve("static", ae, train, x["valid"], epochs, 200, 1000)


def dynamic(epochs: int) -> None:
    """Train on dynamic binarization; L_5000 on one draw of the test split along the way."""
    splits = kerasae.data.load("mnist", batch_size=100, validation=0, binarize="dynamic")
    keras.utils.set_random_seed(0)
    options = {"hidden": (200, 200), "activation": "tanh", "seed": 0, **BINARY}
    ae = kerasae.build("variational", splits.shape, 50, **options)
    ae.compile()
    curve("dynamic", ae, splits.train, splits.test, epochs, 5000, 300)


def main() -> None:
    """Run the protocols whose data are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--only", choices=("grey", "static", "dynamic"))
    arguments = parser.parse_args()
    folder = os.environ.get("KERASAE_BINARIZED_MNIST")
    if arguments.only in (None, "grey"):
        grey(arguments.seeds, arguments.epochs)
    if arguments.only in (None, "static"):
        if folder:
            static(Path(folder), arguments.epochs)
        else:
            print("\nstatic: left out, KERASAE_BINARIZED_MNIST is not set")
    if arguments.only in (None, "dynamic"):
        dynamic(arguments.epochs)


if __name__ == "__main__":
    main()
