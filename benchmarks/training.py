"""How fast models train: images per second of kerasae and of its peers, in one run.

Every program runs in a process of its own, and they take turns of three epochs: same network, batch
size, optimizer and data. The medians over the turns are printed, and the median ratios of kerasae
to each.

    python benchmarks/training.py [--turns 5] [--networks seed vae] [--peers PYTHON]

PYTHON is that of an environment with `torch==2.13.0`, and for two of the rows `pythae` and `pyod`;
without it these rows are left out.

    python benchmarks/training.py --parts            # what each part of kerasae.acceleration buys
    python benchmarks/training.py --figure FILE      # images/s against batch size and width
"""

import argparse
import importlib.util
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

ROWS, BATCH, RATE = 60_000, 128, 0.001
# Epochs of a turn.
EPOCHS = 3
# Batch sizes of the figure.
SIZES = (32, 128, 512, 2048)
# Widths of the hidden layers, the size of the code, and what is special.
NETWORKS: dict[str, dict] = {
    "seed": {"variant": "undercomplete", "hidden": (128, 64), "code": 32},
    "denoising": {"variant": "denoising", "hidden": (128, 64), "code": 32, "noise": 0.3},
    "vae": {"variant": "variational", "hidden": (400,), "code": 20},
    "contractive": {"variant": "contractive", "hidden": (256,), "code": 32},
    "wide": {"variant": "undercomplete", "hidden": (1024, 1024), "code": 32, "rows": 12_800},
    "conv": {"variant": "convolutional", "hidden": (32, 64), "code": 32, "rows": 12_800},
    "table": {"variant": "undercomplete", "rows": 60_000, "features": 20},
}
PROGRAMS = {
    "kerasae": list(NETWORKS),
    "kerasae, pipeline": ["seed", "denoising", "vae", "contractive", "wide", "conv"],
    "kerasae, TensorFlow's noise": ["denoising", "vae"],
    "kerasae, steps_per_execution=50, jit_compile=True": ["seed"],
    "kerasae, off": ["seed", "denoising", "vae", "contractive", "wide", "conv"],
    "Keras": ["seed", "denoising", "vae", "wide", "conv"],
    "JAX scan": ["seed", "denoising", "vae", "wide"],
    "PyTorch, DataLoader": ["seed", "denoising", "vae", "contractive", "wide", "conv"],
    "PyTorch, by hand": ["seed", "denoising", "vae", "contractive", "wide", "conv"],
    "pythae": ["vae"],
    "PyOD": ["table"],
}
# Networks and pairs of programs that differ by one part of `kerasae.acceleration`.
PARTS = (
    ("seed", "kerasae", "kerasae, steps_per_execution=50, jit_compile=True"),
    ("seed", "kerasae, pipeline", "kerasae, steps_per_execution=50, jit_compile=True"),
    ("denoising", "kerasae", "kerasae, TensorFlow's noise"),
    ("vae", "kerasae", "kerasae, TensorFlow's noise"),
    ("conv", "kerasae", "kerasae, off"),
)
PEERS = ("PyTorch, DataLoader", "PyTorch, by hand", "pythae", "PyOD")


def data(network: str) -> np.ndarray:
    """Return uint8 images `(rows, 784)`, or a float32 table `(rows, features)`."""
    chosen = NETWORKS[network]
    random = np.random.default_rng(0)
    rows = chosen.get("rows", ROWS)
    if "features" in chosen:
        return random.standard_normal((rows, chosen["features"]), "float32")
    return random.integers(0, 256, (rows, 784), "uint8")


# Programs: each makes a function that trains for `EPOCHS` epochs ---------------------------------


def with_kerasae(network: str, pipeline: bool = False, **compiled: object) -> Callable[[], object]:
    """Train on an array, or a pipeline of it, as a user does, with the defaults."""
    import kerasae  # isort: skip  (first, so that TensorFlow starts quietly)
    import keras

    chosen, x = NETWORKS[network], data(network)
    if network == "table":
        from kerasae.estimators import AnomalyDetector

        # One epoch at a time costs an estimator a new model; its own loop is what is timed.
        return lambda: AnomalyDetector(random_state=0).fit(x)
    if network == "conv":
        x = x.reshape(-1, 28, 28, 1)
    options: dict = {"hidden": chosen["hidden"], "input_dtype": "uint8", "seed": 0}
    if network == "conv":
        options["kernel_size"] = 3  # as the others have it
    if network == "contractive":
        options |= dict.fromkeys(("activation", "code_activation"), "sigmoid")
    if network == "denoising":
        options["corruption_level"] = chosen["noise"]
    keras.utils.set_random_seed(0)
    ae = kerasae.build(chosen["variant"], x.shape[1:], chosen["code"], **options)
    ae.compile(keras.optimizers.Adam(RATE), **compiled)
    ae.planned_epochs = 100  # as in a whole training, of which this is a part
    if not pipeline:
        return lambda: ae.fit(x, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    splits = kerasae.data.load(x, validation=0.0, test=0.0, batch_size=BATCH)
    return lambda: ae.fit(splits.train, epochs=EPOCHS, verbose=0)


def with_tensorflows_noise(network: str) -> Callable[[], object]:
    """Train as `with_kerasae` does, with the noise that Keras has."""
    import tensorflow as tf

    from kerasae.acceleration import philox

    philox.normal = tf.random.stateless_normal
    philox.uniform = tf.random.stateless_uniform
    return with_kerasae(network)


def without_acceleration(network: str, **compiled: object) -> Callable[[], object]:
    """Train as `with_kerasae` does, with acceleration turned off."""
    import kerasae

    kerasae.acceleration.enable(False)
    return with_kerasae(network, **compiled)


def with_keras(network: str) -> Callable[[], object]:
    """Train a plain Keras model on arrays with the defaults of `fit`."""
    import keras
    from keras import layers, ops

    chosen, x = NETWORKS[network], data(network).astype("float32") / 255
    keras.utils.set_random_seed(0)
    if network == "conv":
        x = x.reshape(-1, 28, 28, 1)
        first, second = chosen["hidden"]
        ae = keras.Sequential(
            [
                layers.Input((28, 28, 1)),
                layers.Conv2D(first, 3, 2, "same", activation="relu"),
                layers.Conv2D(second, 3, 2, "same", activation="relu"),
                layers.Flatten(),
                layers.Dense(chosen["code"]),
                layers.Dense(7 * 7 * second, activation="relu"),
                layers.Reshape((7, 7, second)),
                layers.Conv2DTranspose(first, 3, 2, "same", activation="relu"),
                layers.Conv2DTranspose(1, 3, 2, "same"),
            ]
        )
    else:
        inputs = hidden = keras.Input((784,))
        if network == "denoising":
            hidden = layers.GaussianNoise(chosen["noise"])(hidden)
        for width in chosen["hidden"]:
            hidden = layers.Dense(width, "relu")(hidden)
        if network == "vae":

            class Sampling(layers.Layer):
                def __init__(self):
                    super().__init__()
                    self.seeds = keras.random.SeedGenerator(0)

                def call(self, parts):
                    mean, log_var = parts
                    kl = 0.5 * (ops.exp(log_var) - log_var + mean**2 - 1)
                    self.add_loss(ops.mean(ops.sum(kl, -1)))
                    noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
                    return mean + ops.exp(0.5 * log_var) * noise

            parts = [layers.Dense(chosen["code"])(hidden) for _ in range(2)]
            hidden = Sampling()(parts)
        else:
            hidden = layers.Dense(chosen["code"])(hidden)
        for width in reversed(chosen["hidden"]):
            hidden = layers.Dense(width, "relu")(hidden)
        last = "sigmoid" if network == "vae" else None
        ae = keras.Model(inputs, layers.Dense(784, last)(hidden))

    def bernoulli(target, found):
        return 784 * keras.losses.binary_crossentropy(target, found)

    ae.compile(keras.optimizers.Adam(RATE), bernoulli if network == "vae" else "mse")
    return lambda: ae.fit(x, x, batch_size=BATCH, epochs=EPOCHS, verbose=0)


def with_jax(network: str) -> Callable[[], object]:
    """Train with an epoch in one `lax.scan`, Adam by hand, as quickly as JAX can."""
    import jax
    import jax.numpy as jnp

    chosen, x = NETWORKS[network], jnp.asarray(data(network))
    random = np.random.default_rng(0)
    code = chosen["code"] * (2 if network == "vae" else 1)
    widths = [784, *chosen["hidden"], code], [chosen["code"], *chosen["hidden"][::-1], 784]
    weights = [
        [
            (jnp.asarray(random.normal(0, (2 / (i + o)) ** 0.5, (i, o)), "float32"), jnp.zeros(o))
            for i, o in itertools.pairwise(part)
        ]
        for part in widths
    ]

    def run(part, h):
        for k, (w, b) in enumerate(part):
            h = h @ w + b
            h = h if k == len(part) - 1 else jax.nn.relu(h)
        return h

    def loss(weights, batch, key):
        noisy = batch
        if network == "denoising":
            noisy = batch + chosen["noise"] * jax.random.normal(key, batch.shape)
        h = run(weights[0], noisy)
        if network != "vae":
            return jnp.mean((run(weights[1], h) - batch) ** 2)
        mean, log_var = jnp.split(h, 2, -1)
        z = mean + jnp.exp(0.5 * log_var) * jax.random.normal(key, mean.shape)
        logits = run(weights[1], z)
        bernoulli = jnp.sum(jax.nn.softplus(logits) - batch * logits, -1)
        kl = 0.5 * jnp.sum(jnp.exp(log_var) - log_var + mean**2 - 1, -1)
        return jnp.mean(bernoulli + kl)

    def step(state, chosen_rows):
        weights, first, second, t, key = state
        key, used = jax.random.split(key)
        gradient = jax.grad(loss)(weights, x[chosen_rows].astype("float32") / 255, used)
        t = t + 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
        rate = RATE * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        weights = jax.tree.map(
            lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), weights, first, second
        )
        return (weights, first, second, t, key), None

    @jax.jit
    def epoch(state):
        *rest, key = state
        key, used = jax.random.split(key)
        order = jax.random.permutation(used, len(x))[: len(x) // BATCH * BATCH]
        return jax.lax.scan(step, (*rest, key), order.reshape(-1, BATCH))[0]

    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = [(weights, zeros, zeros, jnp.float32(0), jax.random.key(0))]

    def train():
        for _ in range(EPOCHS):
            state[0] = jax.block_until_ready(epoch(state[0]))

    return train


OWN: dict[str, Callable[[str], Callable[[], object]]] = {
    "kerasae": with_kerasae,
    "kerasae, pipeline": lambda network: with_kerasae(network, pipeline=True),
    "kerasae, TensorFlow's noise": with_tensorflows_noise,
    "kerasae, steps_per_execution=50, jit_compile=True": lambda network: without_acceleration(
        network, steps_per_execution=50, jit_compile=True
    ),
    "kerasae, off": without_acceleration,
}


def make(program: str, network: str) -> Callable[[], object]:
    """Return the function of a program that trains a network for a turn."""
    if program in OWN:
        return OWN[program](network)
    if program in PEERS:
        import training_peers

        epoch = training_peers.make(program, network, NETWORKS[network], data(network), BATCH, RATE)
        return epoch if network == "table" else lambda: [epoch() for _ in range(EPOCHS)]
    return {"Keras": with_keras, "JAX scan": with_jax}[program](network)


# Turns -------------------------------------------------------------------------------------------


def work(program: str, network: str) -> None:
    """Train for a turn whenever a line comes in, and answer with the seconds."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print
    train = make(program, network)
    train()
    for line in itertools.chain([""], sys.stdin):
        started = time.perf_counter()
        if line:
            train()
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        print(json.dumps([seconds, peak]), file=answers, flush=True)


class Program:
    """A process that trains when it is its turn."""

    def __init__(self, name: str, network: str, peers: str | None):
        python = peers if name in PEERS else sys.executable
        command = [python, __file__, "--work", name, network]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        self.name, self.seconds, self.memory = name, [], 0.0
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment,
        )

    def answer(self) -> tuple[float, float]:
        """Wait for the process."""
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise RuntimeError(f"{self.name} ended: {self.errors.read()[-2000:]}")
        seconds, self.memory = json.loads(line)
        return seconds

    def turn(self) -> None:
        """Train for a turn."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.seconds.append(self.answer())


def programs(network: str, peers: str | None, only: list[str] | None) -> Iterator[str]:
    """Yield the programs that can train a network here."""
    for name, networks in PROGRAMS.items():
        if network not in networks or (only and name not in only):
            continue
        if name == "JAX scan" and importlib.util.find_spec("jax") is None:
            continue
        if name not in PEERS or peers:
            yield name


def take_turns(network: str, names: list[str], turns: int, peers: str | None) -> list[Program]:
    """Let programs take turns, and return them with their seconds."""
    running = []
    try:
        for name in names:
            running.append(Program(name, network, peers))
            running[-1].answer()  # one at a time, since each compiles with all cores
        for _ in range(turns):
            for program in running:
                program.turn()
    finally:
        for program in running:
            program.process.kill()
            program.process.wait()
    return running


def faster(ours: Program, other: Program) -> float:
    """Return how many times faster one program is than another, the median over the turns."""
    pairs = zip(ours.seconds, other.seconds, strict=True)
    return statistics.median(theirs / own for own, theirs in pairs)


def rate(network: str, program: Program) -> float:
    """Return the images per second of a program."""
    rows = NETWORKS[network].get("rows", ROWS)
    return EPOCHS * rows / statistics.median(program.seconds)


def measure(network: str, turns: int, peers: str | None, only: list[str] | None) -> None:
    """Let the programs take turns, and print their rows."""
    running = take_turns(network, list(programs(network, peers, only)), turns, peers)
    for program in running:
        shown = f"{rate(network, program):,.0f}"
        if network == "table":
            shown = f"{statistics.median(program.seconds):.1f} s"
        ratio = f"{faster(running[0], program):.2f}"
        print(
            f"| {network} | {program.name} | {shown} | {ratio} | {program.memory:,.0f} |",
            flush=True,
        )


def measure_parts(turns: int) -> None:
    """Print what each part of `kerasae.acceleration` buys over the next simpler way."""
    print("| network | with it | images/s | next simpler way | images/s | ratio |")
    print("|---|---|---|---|---|---|")
    for network, *pair in PARTS:
        ours, simpler = take_turns(network, pair, turns, None)
        shown = [f"{each.name} | {rate(network, each):,.0f}" for each in (ours, simpler)]
        print(f"| {network} | {' | '.join(shown)} | {faster(ours, simpler):.2f} |", flush=True)


# The sweep ---------------------------------------------------------------------------------------


def sweep(file: Path, turns: int) -> None:
    """Draw images per second against batch size and width, with the ceiling of matrix products.

    The networks are 784-width-32 and back. The ceiling is the time of the nine matrix products of
    a step alone (two forward and backward but for the gradient of the input), each in a compiled
    loop at its own shape.
    """
    import kerasae  # isort: skip  (first, so that TensorFlow starts quietly)
    import keras

    x, rows = data("seed"), []
    print("| width | batch | images/s | ceiling | share |\n|---|---|---|---|---|")
    for width, batch in itertools.product((64, 256, 1024), SIZES):
        options = {"hidden": (width,), "input_dtype": "uint8", "seed": 0}
        ae = kerasae.build("undercomplete", (784,), 32, **options)
        # Asked for, since a turn alone is too short for it to be worth the compiling.
        ae.compile(keras.optimizers.Adam(RATE), jit_compile=True)
        splits = kerasae.data.load(x, validation=0.0, test=0.0, batch_size=batch)
        ae.fit(splits.train, epochs=1, verbose=0)
        seconds, products = [], []
        for _ in range(turns):
            started = time.perf_counter()
            ae.fit(splits.train, epochs=EPOCHS, verbose=0)
            seconds.append(time.perf_counter() - started)
            products.append(_products(batch, width))
        found = EPOCHS * ROWS / statistics.median(seconds)
        ceiling = batch / statistics.median(products)
        rows.append((width, batch, found, ceiling))
        print(f"| {width} | {batch} | {found:,.0f} | {ceiling:,.0f} | {found / ceiling:.2f} |")
    draw(file, rows)
    print(f"The figure is in {file}.")


def draw(file: Path, rows: list[tuple[int, int, float, float]]) -> None:
    """Draw width, batch size, images per second and their ceiling into a file."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator

    figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
    widths = dict.fromkeys(row[0] for row in rows)
    for width, color, marker in zip(widths, ("#0072B2", "#D55E00", "#009E73"), "os^", strict=True):
        _, sizes, found, ceilings = zip(*(row for row in rows if row[0] == width), strict=True)
        ax.plot(sizes, found, marker=marker, color=color)
        ax.plot(sizes, ceilings, ls=":", marker=marker, mfc="none", color=color)
        ax.annotate(
            f"width {width}",
            (sizes[-1], found[-1]),
            (6, 0),
            textcoords="offset points",
            color=color,
            va="center",
        )
    ax.plot([], [], "k", label="fit")
    ax.plot([], [], "k:", label="its matrix products alone")
    ax.set(xscale="log", yscale="log", xlabel="batch size", ylabel="images per second")
    ax.set_xticks(SIZES, [str(size) for size in SIZES])
    ax.set_xlim(right=SIZES[-1] * 2)
    ax.minorticks_off()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.legend(frameon=False, loc="upper left", ncols=2, bbox_to_anchor=(0, 1.1))
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=150)


def _products(batch: int, width: int) -> float:
    """Return the seconds that the matrix products of one step take."""
    if (batch, width) not in _compiled:
        import tensorflow as tf

        shapes = []
        for i, (rows, columns) in enumerate([(784, width), (width, 32), (32, width), (width, 784)]):
            shapes += [(batch, rows, columns), (rows, batch, columns)]
            shapes += [(batch, columns, rows)] if i else []
        pairs = [(tf.random.normal((a, b)), tf.random.normal((b, c))) for a, b, c in shapes]

        @tf.function(jit_compile=True, autograph=False)
        def steps() -> object:
            def body(k, total):  # a product that is the same at every step would be taken once
                scale = 1.0 + tf.cast(k, tf.float32) * 1e-6
                sums = [tf.matmul(a * scale, b)[0, 0] for a, b in pairs]
                return k + 1, total + tf.add_n(sums)

            start = (tf.constant(0), tf.constant(0.0))
            return tf.while_loop(lambda k, _: k < _REPEATS, body, start)[1]

        steps().numpy()
        _compiled[batch, width] = steps
    started = time.perf_counter()
    _compiled[batch, width]().numpy()
    return (time.perf_counter() - started) / _REPEATS


_REPEATS = 50
_compiled: dict[tuple[int, int], Callable] = {}


def main() -> None:
    """Print one table for all networks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--programs", nargs="+", choices=list(PROGRAMS))
    parser.add_argument("--peers", metavar="PYTHON", help="of an environment with torch")
    parser.add_argument("--parts", action="store_true", help="of kerasae.acceleration, one by one")
    parser.add_argument("--figure", type=Path, metavar="FILE")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        return work(*arguments.work)
    if arguments.figure:
        return sweep(arguments.figure, arguments.turns)
    if arguments.parts:
        return measure_parts(arguments.turns)
    print("| network | program | images/s | kerasae is faster by | peak memory, MiB |")
    print("|---|---|---|---|---|")
    for network in arguments.networks:
        measure(network, arguments.turns, arguments.peers, arguments.programs)


if __name__ == "__main__":
    main()
