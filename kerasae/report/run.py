"""A run directory, read once."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasae.files import read_json
from kerasae.report.numbers import words


@dataclass(frozen=True)
class Run:
    """The content of a run directory.

    Attributes:
        path: The directory.
        config: `config.json`.
        metrics: `metrics.json`, empty when training did not finish.
        history: Term to one value per epoch, from `history.csv`; empty when there is none.
        figures: Entries of `figures/figures.json`: `file`, `part`, `title`, `alt`.
    """

    path: Path
    config: dict[str, Any]
    metrics: dict[str, Any]
    history: dict[str, list[float]]
    figures: list[dict[str, Any]]

    @classmethod
    def read(cls, path: str | Path) -> "Run":
        """Read a run directory.

        Args:
            path: The directory; `config.json` must be there, the rest may be missing.

        Raises:
            FileNotFoundError: There is no `config.json`.
            ValueError: A file is there but cannot be read; the sentence names it.
        """
        path = Path(path)
        if not (path / "config.json").is_file():
            runs = path.is_dir() and any((p / "config.json").is_file() for p in path.iterdir())
            near = f" Did you mean {str(path / '*')!r}, the runs in it?" if runs else ""
            raise FileNotFoundError(
                f"run must be a run directory, which has a config.json.{near} "
                f"Received: run={str(path)!r}"
            )
        metrics, figures = path / "metrics.json", path / "figures" / "figures.json"
        return cls(
            path=path,
            config=read_json(path / "config.json"),
            metrics=read_json(metrics) if metrics.is_file() else {},
            history=_read_history(path / "history.csv"),
            figures=list(map(mapping, read_json(figures, list))) if figures.is_file() else [],
        )

    @property
    def split(self) -> str:
        """Which split `test` was measured on: another one where the data have no test split."""
        return str(self.config.get("measured_on", "test"))

    @property
    def test(self) -> dict[str, Any]:
        """Metrics of the model on `split`."""
        return self.part("test")

    @property
    def baselines(self) -> dict[str, dict[str, Any]]:
        """Name to metrics of each baseline, the noisy input of a denoising model included."""
        baselines = dict(self.part("baselines"))
        baselines |= {n: self.metrics[n] for n in ("clipped", "noisy") if n in self.metrics}
        return {name: mapping(values) for name, values in baselines.items()}

    @property
    def measured(self) -> dict[str, dict[str, Any]]:
        """Name to numbers of each further part of the metrics, such as "codes"."""
        known = ("test", "baselines", "clipped", "noisy", "clean", "training")
        parts = {name: value for name, value in self.metrics.items() if name not in known}
        single = {name: value for name, value in parts.items() if is_number(value)}
        found = {name: value for name, value in parts.items() if value and mapping(value)}
        return found | ({"further measures": single} if single else {})

    def part(self, name: str) -> dict[str, Any]:
        """Return a part of the metrics such as "codes", empty where there is none."""
        return mapping(self.metrics.get(name))

    @property
    def epochs(self) -> int:
        """How many epochs the model was trained for, 0 where that is unknown."""
        recorded = value_of(self.part("training"), "epochs")
        return int(recorded) if recorded else len(next(iter(self.history.values()), []))

    @property
    def variant(self) -> str:
        """Name of the variant, for reading."""
        return words(str(self.config.get("variant", "unnamed")))

    @property
    def data(self) -> str:
        """Name of the data, or the path they were read from."""
        return str(self.config.get("data", "unnamed data"))

    @property
    def data_name(self) -> str:
        """Name of the data for reading: of a path, the file or folder."""
        return Path(self.data).name or self.data

    def terms(self) -> Iterator[tuple[str, str, list[float]]]:
        """Yield name, split and values of each loss term of the history."""
        for name, values in self.history.items():
            if not name.startswith("val_") and name not in ("epoch", "learning_rate"):
                yield words(name), "training", values
                if validation := self.history.get(f"val_{name}"):
                    yield words(name), "validation", validation


def mapping(value: Any) -> dict[str, Any]:
    """Return the value where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def value_of(values: Any, key: str) -> float | None:
    """Return the number under `key`, or None where there is none."""
    value = mapping(values).get(key)
    return value if is_number(value) else None


def numbers_of(values: Any) -> list[float]:
    """Return a list of finite numbers, empty where the value is no such list."""
    if not isinstance(values, list) or not all(is_number(v) and math.isfinite(v) for v in values):
        return []
    return [float(value) for value in values]


def _read_history(path: Path) -> dict[str, list[float]]:
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            names, *rows = list(csv.reader(file)) or [[]]
        numbers = [[float(text or "nan") for text in row] for row in rows]
        columns = zip(names, *numbers, strict=True)  # as many values as names in each row
        return {name: list(values) for name, *values in columns if values}
    except (csv.Error, ValueError) as error:
        raise ValueError(
            f"history.csv must hold a number for each name in each row: {error}. "
            f"Received: {str(path)!r}"
        ) from None
