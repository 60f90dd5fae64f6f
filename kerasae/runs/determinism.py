"""Deterministic mode: the same call gives the same bits in every process."""

import contextlib
import os
from collections.abc import Iterator

_XLA_FLAG = "--xla_gpu_deterministic_ops=true"


@contextlib.contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Use only kernels that always give the same bits, and restore the process afterwards.

    On TensorFlow that is `tf.config.experimental.enable_op_determinism`. On JAX the CPU gives the
    same bits anyway; a GPU does with a flag of XLA, which is read when Python starts.

    Args:
        wanted: Whether to do so; False changes nothing.

    Raises:
        ValueError: JAX runs on a GPU without that flag.
    """
    import keras

    if wanted and keras.backend.backend() == "tensorflow":
        with _tensorflow():
            yield
        return
    if wanted and keras.backend.backend() == "jax":
        _check_jax()
    yield


@contextlib.contextmanager
def _tensorflow() -> Iterator[None]:
    import tensorflow as tf

    # TensorFlow has no public way to ask for the mode, nor to turn it off again.
    from tensorflow.python.framework import config

    before = config.is_op_determinism_enabled()
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        if not before:
            config.disable_op_determinism()


def _check_jax() -> None:
    import jax

    flags = os.environ.get("XLA_FLAGS", "")
    if jax.default_backend() != "cpu" and _XLA_FLAG not in flags.split():
        raise ValueError(
            "deterministic=True (--deterministic) on a GPU with JAX needs "
            f"XLA_FLAGS={_XLA_FLAG} in the environment when Python starts. "
            f"Received: XLA_FLAGS={flags!r}"
        )
