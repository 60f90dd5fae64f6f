"""What the contractive penalty costs: milliseconds per step beside the plain model's.

Network 784-256-32 and back, sigmoid, batch 128, Adam. All models take turns in one process;
medians over the turns, and ratios to the plain model.

    python benchmarks/jacobian.py [--repeats 7] [--steps 100]
"""

import argparse
import statistics
import time

import kerasae  # isort: skip  (first, so that TensorFlow starts quietly)
import keras
import numpy as np


def make(variant: str, jit: bool, x: np.ndarray, **options: object) -> keras.Model:
    """Return a compiled model whose training function is traced already."""
    keras.utils.set_random_seed(0)
    sigmoid = dict.fromkeys(("activation", "code_activation", "output_activation"), "sigmoid")
    ae = kerasae.build(variant, (784,), 32, hidden=(256,), **sigmoid, **options)
    ae.compile(jit_compile=jit)
    ae.fit(x[:256], epochs=1, batch_size=128, verbose=0)
    return ae


def main() -> None:
    """Time the three methods with and without XLA and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    x = np.random.default_rng(0).random((128 * arguments.steps, 784), dtype="float32")
    print(f"backend {keras.backend.backend()}, keras {keras.__version__}")
    print("| method | XLA | ms per step | ratio to plain |\n|---|---|---|---|")
    for jit in (False, True):
        models = {"plain": make("undercomplete", jit, x)}
        for method in ("estimate", "closed_form", "exact"):
            models[method] = make("contractive", jit, x, jacobian_method=method)
        seconds: dict[str, list[float]] = {name: [] for name in models}
        for _ in range(arguments.repeats):
            for name, model in models.items():
                start = time.perf_counter()
                model.fit(x, epochs=1, batch_size=128, verbose=0)
                seconds[name].append(time.perf_counter() - start)
        plain = statistics.median(seconds["plain"])
        for name, values in seconds.items():
            step = 1000 * statistics.median(values) / arguments.steps
            ratio = statistics.median(values) / plain
            print(f"| {name} | {'yes' if jit else 'no'} | {step:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
