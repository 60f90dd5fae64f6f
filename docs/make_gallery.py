"""Train one small model per variant, and write `gallery.md` and its figures.

    .venv/bin/python docs/make_gallery.py              # all variants, about ten minutes
    .venv/bin/python docs/make_gallery.py sparse_l1    # one variant; the others are kept

The models learn 12,000 images of MNIST, which TensorFlow Datasets downloads once or reads from
TFDS_DATA_DIR, and the sequence model learns generated waves. Figures and text alternatives are
those of the run's report.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
FIGURES = HERE / "images" / "gallery"
INDEX = FIGURES / "gallery.json"
LIMIT = 130_000  # bytes of a figure
SIZES = ((1100, 64), (900, 32), (760, 16), (640, 8))  # pixels, colours; the first within LIMIT

# Variant -> options of `kerasae train`, the figure of its report, and what to see in it.
VARIANTS = {
    "linear": (
        "--latent-dim 2 --epochs 15",
        "code_map",
        "A linear code of two numbers per image: the plane of PCA. Ones are separated from zeros, "
        "but most other digits overlap.",
    ),
    "undercomplete": (
        "--latent-dim 32 --epochs 25",
        "reconstructions",
        "Thirty-two numbers instead of 784. Rare features, such as odd strokes, are lost first.",
    ),
    "overcomplete": (
        "--latent-dim 1024 --set hidden=[] --epochs 10",
        "code_spectrum",
        "More numbers than pixels. Nothing forces the code to be compact, and yet it varies in "
        "few directions, hardly more than the images do.",
    ),
    "sparse_l1": (
        "--latent-dim 256 --set hidden=[] --epochs 20",
        "activations",
        "The L1 penalty sets most units to zero for most images, and only a few remain large.",
    ),
    "sparse_kl": (
        "--latent-dim 128 --set hidden=[] --epochs 20",
        "activations",
        "The KL penalty pulls the mean activation of each unit towards a target, against the "
        "reconstruction error: the weight decides the balance.",
    ),
    "sparse_topk": (
        "--latent-dim 256 --set hidden=[] --epochs 20",
        "activations",
        "Only the largest units of each image remain; all others are exactly zero.",
    ),
    "denoising": (
        "--network conv --latent-dim 32 --set corruption_level=0.5 --epochs 8",
        "reconstructions",
        "The model receives the noisy image and has learned to return the clean one.",
    ),
    "contractive": (
        "--latent-dim 32 --epochs 15",
        "singular_values",
        "How much the code changes with small changes of an image, direction by direction: much "
        "along a few directions, hardly along the others.",
    ),
    "variational": (
        "--latent-dim 2 --epochs 30",
        "manifold",
        "Each point of the code space decodes to an image, and neighbours look alike: random "
        "points decode to new digits.",
    ),
    "beta_vae": (
        "--latent-dim 10 --epochs 25",
        "traversals",
        "One number of the code changes at a time, and one property of the image with it.",
    ),
    "conditional_vae": (
        "--latent-dim 10 --set hidden=[256,128] --epochs 60",
        "generated",
        "New digits from random codes, and the classes from 0 to 9 in turn.",
    ),
    "fsq": (
        "--latent-dim 8 --epochs 15",
        "reconstructions",
        "The code consists of eight whole numbers below 1,000: ten bits each.",
    ),
    "convolutional": (
        "--latent-dim 32 --epochs 6",
        "reconstructions",
        "Thirty-two numbers, as for `undercomplete`, but from convolutions: a smaller error.",
    ),
    "sequence": (
        "--latent-dim 8 --epochs 40",
        "reconstructions",
        "Sixty-four time steps of two superposed waves, from eight numbers.",
    ),
}
DEFAULT = ("", "reconstructions", "Images of the test set and their reconstructions.")


def main() -> None:
    """Create the requested figures, and the page."""
    import kerasae

    known = kerasae.variants()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="VARIANT", help="all by default")
    parser.add_argument("--page-only", action="store_true", help="from the existing figures")
    options = parser.parse_args()
    names = [] if options.page_only else options.names or known
    for name in names:
        if name not in known:
            parser.error(f"there is no variant {name!r}; there are {', '.join(known)}")
    FIGURES.mkdir(exist_ok=True)
    made = json.loads(INDEX.read_text("utf-8")) if INDEX.exists() else {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            made[name] = make(name, Path(folder))
        INDEX.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", "utf-8")
    made = {key: made[key] for key in known if key in made}
    (HERE / "gallery.md").write_text(page(made), "utf-8")


def make(name: str, folder: Path) -> dict[str, str]:
    """Train a variant, keep one figure of its report, and return its entry of the index."""
    options, figure, _ = VARIANTS.get(name, DEFAULT)
    data = "mnist --limit 15000"
    if name == "sequence":
        np.save(folder / "waves.npy", waves())
        data = "waves.npy"
    command = f"train {name} --data {data} {options}".split()
    subprocess.run(
        [sys.executable, "-m", "kerasae", *command, "--out", "run", "--no-export"],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    entries = json.loads((folder / "run/figures/figures.json").read_text("utf-8"))
    by_name = {Path(entry["file"]).stem: entry for entry in entries}
    entry = by_name.get(figure, by_name["reconstructions"])
    shrink(folder / "run/figures" / entry["file"], FIGURES / f"{name}.png")
    return {
        "title": entry["title"],
        "alt": entry["alt"],
        "command": f"kerasae {' '.join(command)}",
    }


def waves(n: int = 4000) -> np.ndarray:
    """Return series of 64 steps, each of two waves of random phase, height and length."""
    rng = np.random.default_rng(0)
    time = np.arange(64)
    total = np.zeros((n, 64, 1))
    for _ in range(2):
        height, length, phase = (
            rng.uniform(low, high, (n, 1)) for low, high in ((0.3, 1), (16, 64), (0, 2 * np.pi))
        )
        total[..., 0] += height * np.sin(2 * np.pi * time / length + phase)
    return total.astype("float32")


def shrink(source: Path, target: Path) -> None:
    """Write a figure with few pixels and colours."""
    from PIL import Image

    drawn = Image.open(source).convert("RGB")
    for width, colours in SIZES:
        width = min(width, drawn.width)
        size = (width, round(drawn.height * width / drawn.width))
        image = drawn.resize(size, Image.Resampling.LANCZOS)
        few = image.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(target, optimize=True)
        if target.stat().st_size < LIMIT:
            return


def page(made: dict[str, dict[str, str]]) -> str:
    """Return the page of the gallery."""
    parts = [
        "<!-- made by make_gallery.py -->",
        "# Gallery",
        "One figure per variant, each from a short training run of minutes on two CPU cores. The "
        "command below a figure creates the run whose report contains it, among a dozen others. "
        "All but `sequence` learn images of MNIST. {doc}`choosing` helps to choose a variant.",
    ]
    for name, entry in made.items():
        alt = entry["alt"].replace("\n", " ")
        parts += [
            f"## {name}",
            VARIANTS.get(name, DEFAULT)[2],
            f"```{{figure}} images/gallery/{name}.png\n:alt: {alt}\n\n{entry['title']}\n```",
            f"```sh\n{entry['command']}\n```",
        ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
