"""Anomaly detection on tables: ROC-AUC on ADBench beside controls and peers, and on ECG5000.

Semi-supervised: the first half of the normal rows, in file order, is for training and all others
are for the test. Controls and peers get rows standardized on the training rows; `AnomalyDetector`
gets them as they are, keeps a tenth from training for its threshold, and has one set of defaults,
which was chosen on the development half of the sets: every other one, by file name, from the first.

    python benchmarks/anomaly.py --data FOLDER [--seeds 3] [--unique] [--out FILE]
    python benchmarks/anomaly.py --ecg ecg5000.npz

FOLDER holds the `.npz` files of ADBench (arrays `X` and `y`); `KERASAE_ADBENCH` may name it too.
PyOD is compared where it is installed.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import kerasae  # isort: skip  (first, so that TensorFlow starts quietly)
import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from kerasae.estimators import AnomalyDetector

LEAST_ROWS = 1000
Scorer = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def read(path: Path, unique: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return training rows, test rows and the labels of the test rows."""
    with np.load(path) as file:
        x, y = file["X"].astype("float64"), file["y"].astype(int)
    if unique:
        kept = np.sort(np.unique(x, axis=0, return_index=True)[1])
        x, y = x[kept], y[kept]
    normal = np.flatnonzero(y == 0)
    training = np.zeros(len(x), bool)
    training[normal[: len(normal) // 2]] = True
    return x[training], x[~training], y[~training]


def standardized(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both with mean 0 and variance 1 over the training rows."""
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    # The deviation of a constant column is 0 up to rounding; its scale stays.
    deviation[deviation <= 1e-12 * np.abs(mean)] = 1.0
    return (train - mean) / deviation, (test - mean) / deviation


def control(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Return the squared distance from the mean: the error of a model that collapsed to it."""
    return (test**2).sum(axis=1)


def pca(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Return the squared residual after two principal components."""
    model = PCA(2, svd_solver="full").fit(train)
    return ((test - model.inverse_transform(model.transform(test))) ** 2).sum(axis=1)


def forest(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Return the scores of an isolation forest."""
    return -IsolationForest(random_state=seed).fit(train).score_samples(test)


def neighbours(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Return the mean distance to the five nearest training rows."""
    return NearestNeighbors(n_neighbors=5).fit(train).kneighbors(test)[0].mean(axis=1)


def pyod(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Return the scores of PyOD's autoencoder with its defaults."""
    from pyod.models.auto_encoder import AutoEncoder

    # Its own standardization divides by the rounding errors of constant columns.
    model = AutoEncoder(preprocessing=False, verbose=0, random_state=seed)
    return model.fit(train.astype("float32")).decision_function(test.astype("float32"))


def ours(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Return the reconstruction errors of an `AnomalyDetector` with its defaults."""
    return -AnomalyDetector(random_state=seed).fit(train).score_samples(test)


def methods() -> dict[str, tuple[Scorer, bool]]:
    """Return by name how to score, and whether the seed matters."""
    found: dict[str, tuple[Scorer, bool]] = {
        "‖z‖²": (control, False),
        "PCA-2": (pca, False),
        "KNN (5)": (neighbours, False),
        "IForest": (forest, True),
    }
    try:
        import pyod as _  # noqa: F401
    except ImportError:
        pass
    else:
        found["PyOD AE"] = (pyod, True)
    return {**found, "kerasae": (ours, True)}


def adbench(folder: Path, seeds: int, unique: bool, only: str | None) -> list[str]:
    """Return the lines of a Markdown table, with ROC-AUC in percent."""
    paths = sorted(folder.glob("*.npz"), key=lambda p: p.name)
    paths = [p for p in paths if len(np.load(p)["y"]) >= LEAST_ROWS]
    halves = {p: ("development", "held out")[i % 2] for i, p in enumerate(paths)}
    if only:
        paths = [p for p in paths if halves[p] == only]
    table: dict[str, list[float]] = {name: [] for name in methods()}
    seconds = []
    lines = [
        f"| set | half | training rows | features | {' | '.join(table)} | seeds' range | seconds |",
        "|---" * (len(table) + 6) + "|",
    ]
    for path in paths:
        train, test, y = read(path, unique)
        pair = standardized(train, test)
        values: dict[str, list[float]] = {}
        for name, (score, seeded) in methods().items():
            start = time.perf_counter()
            arrays = (train, test) if score is ours else pair
            values[name] = [
                100 * roc_auc_score(y, score(*arrays, seed))
                for seed in range(seeds if seeded else 1)
            ]
            table[name].append(statistics.mean(values[name]))
        seconds.append((time.perf_counter() - start) / seeds)
        cells = " | ".join(f"{values[-1]:.1f}" for values in table.values())
        name = path.stem.split("_", 1)[-1]
        own = values["kerasae"]
        lines.append(
            f"| {name} | {halves[path]} | {len(train):,} | {train.shape[1]} | {cells} "
            f"| {min(own):.1f} to {max(own):.1f} | {seconds[-1]:.0f} |"
        )
        print(lines[-1], flush=True)
    for half in ("development", "held out", None):
        chosen = [i for i, p in enumerate(paths) if half in (None, halves[p])]
        if chosen:
            means = [statistics.mean(values[i] for i in chosen) for values in table.values()]
            cells = " | ".join(f"**{mean:.1f}**" for mean in means)
            label = f"mean of {half or 'all'} ({len(chosen)})"
            spent = statistics.mean(seconds[i] for i in chosen)
            lines.append(f"| **{label}** | | | | {cells} | | {spent:.0f} |")
    return lines


def ecg(path: Path, seeds: int) -> list[str]:
    """Return the lines of a Markdown table on ECG5000, in percent.

    Trained on the normal beats of the UCR training split; the test split is for the test.
    """
    with np.load(path) as file:
        train = file["x_train"][file["y_train"] == 1]
        test, abnormal = file["x_test"], file["y_test"] != 1
    rates = (0.01, 0.05)
    columns = [f"{what} at {rate:.0%}" for rate in rates for what in ("recall", "false alarms")]
    lines = [f"| method | ROC-AUC | {' | '.join(columns)} | seconds |", "|---" * 7 + "|"]
    pair = standardized(train, test)
    for name, score in (("‖z‖²", control), ("KNN (5)", neighbours)):
        area = 100 * roc_auc_score(abnormal, score(*pair, 0))
        lines.append(f"| {name} | {area:.2f} | | | | | |")
    rows = []
    for seed in range(seeds):
        start = time.perf_counter()
        detector = AnomalyDetector(false_alarm_rate=min(rates), random_state=seed).fit(train)
        row = [time.perf_counter() - start]
        scores = -detector.score_samples(test)
        for rate in rates:
            flagged = detector.calibration_.is_anomaly(scores, rate)
            row += [100 * flagged[abnormal].mean(), 100 * flagged[~abnormal].mean()]
        rows.append([100 * roc_auc_score(abnormal, scores), *row[1:], row[0]])
    mean, spread = np.mean(rows, axis=0), np.std(rows, axis=0)
    cells = " | ".join(f"{m:.1f} ± {s:.1f}" for m, s in zip(mean[1:-1], spread[1:-1], strict=True))
    lines.append(f"| kerasae | {mean[0]:.2f} ± {spread[0]:.2f} | {cells} | {mean[-1]:.0f} |")
    return lines


def main() -> None:
    """Measure and print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("KERASAE_ADBENCH"))
    parser.add_argument("--ecg", type=Path, help="ecg5000.npz; alone or beside --data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--unique", action="store_true", help="drop rows that occurred before")
    parser.add_argument("--half", choices=("development", "held out"), help="only these sets")
    parser.add_argument("--out", type=Path, help="Markdown file to append the tables to")
    arguments = parser.parse_args()
    if not arguments.data and not arguments.ecg:
        parser.error("name the folder of ADBench's files by --data or KERASAE_ADBENCH, or --ecg")
    lines = []
    if arguments.data:
        rows = "equal rows taken once" if arguments.unique else "all rows"
        lines += ["", f"ADBench, {rows}, ROC-AUC in percent, {arguments.seeds} seeds:", ""]
        lines += adbench(Path(arguments.data), arguments.seeds, arguments.unique, arguments.half)
    if arguments.ecg:
        lines += ["", f"ECG5000, percent, mean and deviation of {arguments.seeds} seeds:", ""]
        lines += ecg(arguments.ecg, arguments.seeds)
    text = "\n".join([f"kerasae {kerasae.__version__}", *lines, ""])
    print(text)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with arguments.out.open("a") as file:
            file.write(text)


if __name__ == "__main__":
    main()
