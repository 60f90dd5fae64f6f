"""Sources that need no network: scikit-learn's digits and photographs, and a curved sheet."""

import numpy as np

from kerasae.data.rows import SPLITS, Loaded

# One row per feature: how the sheet's coordinates u, v in [-1, 1] bend into it, and its scale.
_SHEET = (
    (lambda u, v: u, 1.0),
    (lambda u, v: v, 20.0),
    (lambda u, v: np.sin(np.pi * u), 5.0),
    (lambda u, v: np.cos(np.pi * u), 0.1),
    (lambda u, v: np.sin(np.pi * v), 50.0),
    (lambda u, v: np.cos(np.pi * v), 0.5),
    (lambda u, v: u * v, 2.0),
    (lambda u, v: np.sin(2.0 * (u + v)), 10.0),
    (lambda u, v: np.cos(2.5 * (u - v)), 0.02),
    (lambda u, v: np.exp(u - 0.5 * v), 100.0),
)


def digits(seed: int) -> Loaded:
    """scikit-learn's handwritten digits: 1,797 images of 8x8x1, ten classes.

    The original values are 0..16. They are rounded to uint8 0..255 as `value * 255 / 16`, so that
    dividing by 255 gives `value / 16` up to 0.5 / 255.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    names = [str(name) for name in bunch.target_names]
    return Loaded("digits", images, bunch.target.astype(np.int64), names)


def manifold(seed: int, count: int = 3000) -> Loaded:
    """A curved 2-D sheet in 10-D with five clusters on it, drawn from `seed`.

    Two coordinates in [-1, 1] determine each sample up to noise (1 % of each feature's standard
    deviation). The ten features bend them in different ways, on scales from 0.02 to 100.

    Two numbers suffice, two principal components do not: they keep 53 % of the variance of the
    standardized features (53.0 to 53.6 % for seeds 0 to 3). Without standardizing they keep 99 %,
    and R2 of the features with scales up to 0.5 stays below 0.1.

    `extras["coordinates"]` holds the true coordinates, the labels say which cluster.
    """
    rng = np.random.default_rng(seed)
    centers = np.array([[-0.6, -0.6], [-0.6, 0.6], [0.6, -0.6], [0.6, 0.6], [0.0, 0.0]])
    labels = rng.integers(len(centers), size=count)
    free = centers[labels] + rng.normal(scale=0.2, size=(count, 2))
    # Reflected at the border; clipping would pile samples up on it.
    coordinates = np.where(np.abs(free) > 1.0, 2.0 * np.sign(free) - free, free)
    u, v = coordinates.T
    features = np.stack([scale * bend(u, v) for bend, scale in _SHEET], axis=1)
    noise = rng.normal(size=features.shape) * (0.01 * features.std(axis=0))
    return Loaded(
        "manifold",
        (features + noise).astype(np.float32),
        labels.astype(np.int64),
        [f"cluster {index}" for index in range(len(centers))],
        extras={"coordinates": coordinates.astype(np.float32)},
    )


def photos(seed: int, size: int = 16) -> Loaded:
    """Grey patches of scikit-learn's two sample photographs, `size` x `size` x 1 uint8.

    Each photograph is cut into ten strips of 64 columns; `seed` draws one for validation and one
    for test, and the other eight are for training. Patches lie inside their strip, every 8 pixels,
    so no pixel is in two splits. Grey is the luma 0.299 R + 0.587 G + 0.114 B, rounded.

    The labels say which photograph; `extras["position"]` holds photograph, top row, left column.
    """
    from sklearn.datasets import load_sample_images

    bunch = load_sample_images()
    rng = np.random.default_rng(seed)
    strip = 64
    patches: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    places: dict[str, list[tuple[int, int, int]]] = {split: [] for split in SPLITS}
    for photo, image in enumerate(bunch.images):
        grey = np.rint(image @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
        strips = grey.shape[1] // strip
        held_out = rng.permutation(strips)[:2]
        role = {int(held_out[0]): "validation", int(held_out[1]): "test"}
        for number in range(strips):
            split = role.get(number, "train")
            for top in range(0, grey.shape[0] - size + 1, 8):
                for left in range(number * strip, (number + 1) * strip - size + 1, 8):
                    patches[split].append(grey[top : top + size, left : left + size])
                    places[split].append((photo, top, left))
    ends = np.cumsum([0] + [len(patches[split]) for split in SPLITS])
    position = np.concatenate([np.array(places[split]) for split in SPLITS])
    return Loaded(
        "photos" if size == 16 else f"photos{size}",
        np.concatenate([np.stack(patches[split]) for split in SPLITS])[..., np.newaxis],
        position[:, 0].astype(np.int64),
        [name.rsplit("/", 1)[-1].split(".")[0] for name in bunch.filenames],
        parts={
            split: np.arange(start, stop)
            for split, start, stop in zip(SPLITS, ends[:-1], ends[1:], strict=True)
        },
        extras={"position": position},
    )


def photos8(seed: int) -> Loaded:
    """`photos` with patches of 8x8x1."""
    return photos(seed, size=8)
