"""What all tests share: quiet TensorFlow, seeds, marks for backend and data."""

import os

# Importing kerasae first silences TensorFlow, whichever module a test imports.
import kerasae  # noqa: F401  isort: skip
import pytest

BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")


@pytest.fixture(autouse=True)
def _seeded():
    """Give every test the same random numbers, whatever ran before."""
    import keras

    keras.utils.set_random_seed(0)


def pytest_collection_modifyitems(items):
    mnist = pytest.mark.skip(reason="MNIST is not prepared under TFDS_DATA_DIR")
    prepared = os.path.isdir(os.path.join(os.environ.get("TFDS_DATA_DIR", ""), "mnist"))
    for item in items:
        if "mnist" in item.keywords and not prepared:
            item.add_marker(mnist)
