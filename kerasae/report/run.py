"""A run directory, read once."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasae.files import read_json
from kerasae.report.markup import words


@dataclass(frozen=True)
class Run:
    """What a run directory holds, read once.

    Attributes:
        path: The directory.
        config: `config.json`.
        metrics: `metrics.json`, empty when training did not finish.
        history: Term to one value per epoch, from `history.csv`; empty when there is none.
        figures: Entries of `figures/figures.json`: `file`, `title`, `alt`.
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
        return cls(
            path=path,
            config=_read_json(path / "config.json", {}),
            metrics=_read_json(path / "metrics.json", {}),
            history=_read_history(path / "history.csv"),
            figures=_read_json(path / "figures" / "figures.json", []),
        )

    @property
    def split(self) -> str:
        """Which split `test` was measured on: another one where the data have no test split."""
        return str(self.config.get("measured_on", "test"))

    @property
    def test(self) -> dict[str, Any]:
        """Metrics of the model on `split`."""
        return mapping(self.metrics.get("test"))

    @property
    def baselines(self) -> dict[str, dict[str, Any]]:
        """Name to metrics of each baseline, the noisy input of a denoising model included."""
        baselines = dict(mapping(self.metrics.get("baselines")))
        baselines |= {n: self.metrics[n] for n in ("clipped", "noisy") if n in self.metrics}
        return {name: mapping(values) for name, values in baselines.items()}

    def part(self, name: str) -> dict[str, Any]:
        """A part of the metrics such as "codes" or "detection", empty where there is none."""
        return mapping(self.metrics.get(name))

    @property
    def code_size(self) -> int | None:
        """How many numbers a code has, where that is known."""
        size = value_of(self.config, "latent_dim")
        return None if size is None else int(size)

    @property
    def training(self) -> dict[str, Any]:
        """How long training took: `epochs`, `seconds`, `best_epoch`."""
        return mapping(self.metrics.get("training"))

    @property
    def epochs(self) -> int:
        """How many epochs the model was trained for, 0 where that is unknown."""
        recorded = value_of(self.training, "epochs")
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
    def source(self) -> str:
        """Path of the data that is the same from every folder, or their name."""
        return str(self.config.get("data_path") or self.data)

    @property
    def data_name(self) -> str:
        """Name of the data for reading: of a path, the file or folder."""
        return Path(self.data).name or self.data


def mapping(value: Any) -> dict[str, Any]:
    """The value where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def value_of(values: Any, key: str) -> float | None:
    """The number under `key`, or None where there is none."""
    value = mapping(values).get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def numbers_of(values: Any, key: str) -> list[float]:
    """The list of finite numbers under `key`, empty where there is none."""
    found = mapping(values).get(key)
    if not isinstance(found, list) or not all(
        isinstance(item, int | float) and math.isfinite(item) for item in found
    ):
        return []
    return [float(item) for item in found]


def _read_json(path: Path, default: Any) -> Any:
    """The content of a JSON file of the type of `default`, which stands for a missing file."""
    return read_json(path, type(default)) if path.is_file() else default


def _read_history(path: Path) -> dict[str, list[float]]:
    if not path.is_file():
        return {}
    history: dict[str, list[float]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name, text in row.items():
                if name is None or text is None:
                    raise ValueError(
                        f"history.csv must have as many values as names in each row. "
                        f"Received: {str(path)!r}"
                    )
                try:
                    history.setdefault(name, []).append(float(text or "nan"))
                except ValueError:
                    raise ValueError(
                        f"history.csv must hold numbers, column {name!r} does not. "
                        f"Received: {text!r} in {str(path)!r}"
                    ) from None
    return history
