"""How long a program takes to start: the commands, and each part of the way to a first step.

Every line is a process of its own, and they take turns. The parts of the way to the first step
are timed inside one process; what is left is the interpreter itself.

    python benchmarks/startup.py [--turns 5]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

WAY = """
import json, time
t = [("", time.perf_counter())]
def done(name): t.append((name, time.perf_counter()))
import kerasae
done("import kerasae")
import tensorflow
done("import tensorflow")
import keras
done("import keras")
import kerasae.models, kerasae.runs
done("the rest of kerasae")
splits = kerasae.data.load("digits")
splits.train
done("read the data, make the pipeline")
ae = kerasae.build("undercomplete", splits.shape, input_dtype=splits.dtype)
ae.compile(keras.optimizers.Adam(1e-3))
done("build and compile")
ae.fit(splits.train.take(1), epochs=1, verbose=0)
done("first step, step by step")
ae.planned_epochs = 1000
ae.fit(splits.train, epochs=1, verbose=0)
done("first epoch in compiled chunks")
print(json.dumps([(b[0], b[1] - a[1]) for a, b in zip(t, t[1:])]))
"""
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import kerasae": ["-c", "import kerasae"],
    "import tensorflow": ["-c", "import tensorflow"],
    "import keras": ["-c", "import keras"],
    "kerasae --help": ["-m", "kerasae", "--help"],
    "kerasae train --help": ["-m", "kerasae", "train", "--help"],
    "kerasae variants": ["-m", "kerasae", "variants"],
}


def spent(arguments: list[str]) -> tuple[float, float, str]:
    """Run Python; return seconds on the clock, seconds of CPU and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "100"},
    )
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, done.stdout


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    parts: dict[str, list[float]] = {}
    for turn in range(turns + 1):  # the first fills the caches of the disk
        for name, arguments in COMMANDS.items():
            seconds, cpu, _ = spent(arguments)
            if turn:
                runs[name].append((seconds, cpu))
        for name, seconds in json.loads(spent(["-c", WAY])[2].splitlines()[-1]):
            if turn:
                parts.setdefault(name, []).append(seconds)
    print("| program | seconds | CPU seconds |\n|---|---|---|")
    for name, found in runs.items():
        seconds, cpu = (statistics.median(values) for values in zip(*found, strict=True))
        print(f"| `{name}` | {seconds:.2f} | {cpu:.2f} |")
    print("\n| on the way to the first step | seconds |\n|---|---|")
    for name, values in parts.items():
        print(f"| {name} | {statistics.median(values):.2f} |")


if __name__ == "__main__":
    main()
