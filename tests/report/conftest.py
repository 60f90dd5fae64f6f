"""A run directory made by hand, and its page taken apart."""

import json
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kerasae.report import write_report


def _png(width: int = 4, height: int = 2) -> bytes:
    """A grey PNG made by hand, so that these tests need no drawing library."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _make_run(folder: Path, **files) -> Path:
    """A run directory as `kerasae.train` leaves it; `files` replaces a file's content.

    Args:
        folder: Where to make it.
        files: config, metrics, history, figures: what to write instead, None to leave it out.
    """
    content = {
        "config": {
            "variant": "denoising",
            "data": "mnist",
            "epochs": 20,
            "batch_size": 128,
            "seed": 0,
            "command": ["kerasae", "train", "denoising", "--data", "mnist", "--epochs", "20"],
            "latent_dim": 32,
            "network": "dense",
            "input_shape": [28, 28, 1],
            "input_dtype": "uint8",
            "options": {"hidden": [256, 64]},
            "versions": {"keras": "3.15.1"},
        },
        "metrics": {
            "test": {
                "loss": 0.0123456789,
                "reconstruction_loss": 0.0113456789,
                "mse": 0.0102345678,
                "psnr": 20.3456,
            },
            "baselines": {"pca": {"mse": 0.02}, "mean": {"mse": 0.0671}},
            "noisy": {"mse": 0.25, "psnr": 6.0206},
            "training": {"epochs": 3, "seconds": 41.2, "best_epoch": 2},
        },
        "history": "epoch,loss,val_loss\n0,0.5,0.6\n1,0.25,0.125\n2,0.2,0.375\n",
        "figures": [
            {"file": "a.png", "title": "First figure", "alt": "Ten digits, 17.5 dB."},
            {"file": "b.png", "title": "Second figure", "alt": "A falling curve."},
        ],
    }
    content |= files
    (folder / "figures").mkdir(parents=True)
    paths = {
        "config": folder / "config.json",
        "metrics": folder / "metrics.json",
        "history": folder / "history.csv",
        "figures": folder / "figures" / "figures.json",
    }
    for name, path in paths.items():
        value = content[name]
        if value is not None:
            path.write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")
    for name in ("a.png", "b.png"):
        (folder / "figures" / name).write_bytes(_png())
    (folder / "model.keras").write_bytes(b"")
    return folder


class Page(HTMLParser):
    """Tags, attributes and text of a page, with the nesting checked."""

    void = frozenset({"meta", "link", "img", "br"})

    def __init__(self, path: Path):
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(path.read_text("utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(text for tag, text in self.texts if tag != "style")


@pytest.fixture
def png() -> bytes:
    return _png()


@pytest.fixture
def make_run(tmp_path):
    """`make_run("name", metrics={...})` makes a run directory below `tmp_path`."""
    return lambda name="run", **files: _make_run(tmp_path / name, **files)


@pytest.fixture
def read():
    """`read(run)` writes the page of a run and takes it apart."""
    return lambda run: Page(write_report(run))


@pytest.fixture
def take_apart():
    """`take_apart(path)` takes a page apart that was written already."""
    return Page


@pytest.fixture
def page(make_run, read) -> Page:
    return read(make_run())
