"""Image sets of TensorFlow Datasets, by name."""

import os
from typing import Any

import numpy as np

from kerasae.data.rows import Loaded, as_rows, bad
from kerasae.errors import shorten


def known() -> list[str]:
    """Return the names of all sets that the installed tensorflow-datasets can prepare."""
    import tensorflow_datasets as tfds

    return list(tfds.list_builders(with_community_datasets=False))


def open_tfds(
    name: str, data_dir: str | os.PathLike | None, limit: int | None, memory_budget: int
) -> Loaded:
    """Read an image set into memory; download and prepare it first if it is not there yet.

    Args:
        name: For example "mnist", "cifar10" or "name/config:version".
        data_dir: Folder of prepared sets; by default the environment variable `TFDS_DATA_DIR`,
            else TFDS's own default.
        limit: Read about this many samples only, each split shortened in proportion. The first
            ones: TFDS shuffles a set when it prepares it.
        memory_budget: Largest number of bytes to read.

    Raises:
        OSError: If the set cannot be prepared; the sentence names it and `TFDS_DATA_DIR`.
    """
    import tensorflow_datasets as tfds

    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR") or None
    try:
        builder = tfds.builder(name, data_dir=data_dir)
        if not builder.is_prepared():
            builder.download_and_prepare()
    except Exception as error:
        where = str(data_dir) if data_dir else "TFDS's default folder"
        raise OSError(
            f"The TFDS set {name!r} is not prepared in {where} and could not be downloaded: "
            f"{shorten(error)}; set TFDS_DATA_DIR or data_dir= to the folder that holds it. "
            f"Received: source={name!r}"
        ) from error
    image_key, label_key = _features(name, builder.info.features)
    image = builder.info.features[image_key]
    counts = {
        split: builder.info.splits[split].num_examples
        for split in ("train", "validation", "test")
        if split in builder.info.splits
    }
    if "train" not in counts:
        raise bad(
            f"A TFDS set must have a 'train' split, but {name!r} has "
            f"{', '.join(map(repr, builder.info.splits)) or 'none'}.",
            source=name,
        )
    total = sum(counts.values())
    if limit is not None and limit < total:
        counts = {split: max(1, round(n * limit / total)) for split, n in counts.items()}
    itemsize = 1 if image.np_dtype == np.uint8 else 4
    needed = sum(counts.values()) * int(np.prod(image.shape)) * itemsize
    if needed > memory_budget:
        raise bad(
            f"A TFDS set is read into memory, but {name!r} needs {needed / 2**30:.1f} GiB; pass "
            f"limit= or a larger memory_budget=.",
            source=name,
            memory_budget=memory_budget,
        )
    images, labels, parts, start = [], [], {}, 0
    for split, count in counts.items():
        x, y = _read(builder, f"{split}[:{count}]", image_key, label_key)
        images.append(as_rows(x, name))
        labels.append(y)
        parts[split] = np.arange(start, start + len(x))
        start += len(x)
    feature = builder.info.features[label_key] if label_key else None
    return Loaded(
        name,
        np.concatenate(images),
        np.concatenate(labels).astype(np.int64) if label_key else None,
        list(feature.names) if feature is not None else None,
        parts=parts,
    )


def _features(name: str, features: dict) -> tuple[str, str | None]:
    """Return the keys of the image and, if there is one, of its class."""
    import tensorflow_datasets as tfds

    items = features.items() if hasattr(features, "items") else []
    images = [key for key, kind in items if isinstance(kind, tfds.features.Image)]
    labels = [key for key, kind in items if isinstance(kind, tfds.features.ClassLabel)]
    if not images:
        raise bad(f"A TFDS set must hold images, but {name!r} has no image feature.", source=name)
    key = "image" if "image" in images else images[0]
    if None in features[key].shape:
        raise bad(
            f"All images must have one size, but those of the TFDS set {name!r} differ.",
            source=name,
        )
    label = "label" if "label" in labels else (labels[0] if len(labels) == 1 else None)
    return key, label


def _read(
    builder: Any, split: str, image_key: str, label_key: str | None
) -> tuple[np.ndarray, np.ndarray]:
    import tensorflow_datasets as tfds

    dataset = builder.as_dataset(split=split, batch_size=1024, shuffle_files=False)
    images, labels = [], []
    for batch in tfds.as_numpy(dataset):
        images.append(batch[image_key])
        labels.append(batch[label_key] if label_key else np.zeros(len(images[-1])))
    return np.concatenate(images), np.concatenate(labels)
