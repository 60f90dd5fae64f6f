"""A folder of images, read by Pillow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.data.rows import BLOCK_BYTES, Loaded, Reader, bad
from kerasae.errors import is_whole, shorten

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
_GREY = ("1", "L", "LA")
_COLOUR = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def find(folder: Path) -> list[Path]:
    """Return the images of a folder and its sub-folders, sorted by path; hidden ones are left."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def open_images(path: Path, files: list[Path], size: int | tuple[int, int] | None) -> Loaded:
    """Open images as a reader of `(height, width, channels)` uint8; sub-folders become labels.

    Grey if all files are grey, RGB otherwise; transparency is dropped. Headers alone are read here.

    Args:
        path: The folder, or the one image.
        files: The images in order.
        size: Height and width that every image is resized to (bilinear, antialiased), or one
            number for both; None asks for images of equal size.
    """
    if size is not None:
        size = _height_and_width(size)
    heads = [_head(file) for file in files]
    channels = 1 if all(mode in _GREY for _, mode in heads) else 3
    first = heads[0][0]
    if size is None:
        for file, (shape, _) in zip(files, heads, strict=True):
            if shape != first:
                raise bad(
                    f"All images must have one size, but {file.name!r} is {shape[0]}x{shape[1]} "
                    f"and {files[0].name!r} is {first[0]}x{first[1]} (height x width); "
                    f"size=(height, width) resizes them.",
                    source=str(path),
                )
    height, width = size or first
    per_block = max(1, BLOCK_BYTES // (height * width * channels))

    def read(block: int) -> Iterator[tuple[np.ndarray, Any]]:
        chosen = files[block * per_block : (block + 1) * per_block]
        yield np.stack([_pixels(file, height, width, channels) for file in chosen]), None

    blocks = -(-len(files) // per_block)
    reader = Reader(path.name, (height, width, channels), "uint8", blocks, read)
    labels, names = _labels(path, files)
    return Loaded(str(path), reader, labels, names)


def _height_and_width(size: Any) -> tuple[int, int]:
    sides = size if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2 or not all(is_whole(side, 1) for side in sides):
        raise bad("`size` must be (height, width), or one whole number.", size=size)
    return int(sides[0]), int(sides[1])


def _labels(path: Path, files: list[Path]) -> tuple[np.ndarray | None, list[str] | None]:
    """Number the sub-folders that files lie in; None when the images lie in one folder."""
    if path.is_file():
        return None, None
    folders = [file.parent.relative_to(path).as_posix() for file in files]
    names = sorted(set(folders))
    if names == ["."]:
        return None, None
    if "." in names:
        stray = files[folders.index(".")].name
        raise bad(
            f"Images must lie all in one folder or all in sub-folders named after classes, but "
            f"{stray!r} lies beside sub-folders.",
            source=str(path),
        )
    numbers = {name: index for index, name in enumerate(names)}
    return np.array([numbers[folder] for folder in folders], np.int64), names


def _head(file: Path) -> tuple[tuple[int, int], str]:
    from PIL import Image

    try:
        with Image.open(file) as image:
            width, height = image.size
            mode = image.mode
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise bad(f"{file.name!r} cannot be read as an image.", source=str(file)) from error
    if mode not in _GREY + _COLOUR:
        raise bad(
            f"Images must have 8 bits per channel, but {file.name!r} has Pillow mode {mode!r}; "
            f"save such images as .npy.",
            source=str(file),
        )
    return (height, width), mode


def _pixels(file: Path, height: int, width: int, channels: int) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(file) as image:
            pixels = image.convert("L" if channels == 1 else "RGB")
            if pixels.size != (width, height):
                pixels = pixels.resize((width, height), Image.Resampling.BILINEAR)
            return np.asarray(pixels, np.uint8).reshape(height, width, channels)
    except (OSError, SyntaxError, ValueError) as error:
        raise bad(
            f"{file.name!r} cannot be read as an image: {shorten(error)}.", source=str(file)
        ) from error
