"""What training on several replicas (`tf.distribute`) asks of a model."""

from typing import Any

import keras
from keras import ops

from kerasae.layers.backend import replicas


class Replicated:
    """Lets an `Autoencoder` compiled under a `tf.distribute` strategy report its losses right.

    Keras counts the replicas alike. The last batch may fill some of them only, so each weighs
    what it says by its samples here.
    """

    _replica_loss: keras.metrics.Metric | None = None

    def _prepare_replicas(self, options: dict[str, Any]) -> None:
        """Refuse arguments of `compile` that TensorFlow cannot follow on several replicas."""
        if replicas() == 1:
            return
        for name, fine in (("jit_compile", ("auto", False)), ("steps_per_execution", ("auto", 1))):
            if options.get(name, "auto") not in fine:
                raise ValueError(
                    "A tf.distribute strategy trains without XLA and one step at a time; leave "
                    f"{name} out. Received: {name}={options[name]!r}"
                )
        self._replica_loss = keras.metrics.Mean(name="replica_loss")

    def _finite(self, value: Any, samples: Any) -> Any:
        """Return the mean over the samples of a replica, 0 where it has none."""
        if self._replica_loss is None:
            return value
        return ops.where(ops.cast(samples, "int32") > 0, value, 0.0)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        # Keras takes the mean of the first batch over the replicas, to build what is not built
        # yet; that fails for parts of unequal size, and it reads a batch for nothing.
        if self._replica_loss is not None and iterator is not None:
            asked = self._compile_arguments  # type: ignore[attr-defined]
            if not (asked.get("metrics") or asked.get("weighted_metrics")):
                return
            strategy = self.distribute_strategy  # type: ignore[attr-defined]
            for _, _, batches in iterator:
                data_batch = keras.tree.map_structure(
                    lambda part: strategy.experimental_local_results(part)[0], next(batches)
                )
                break
            iterator = None
        super()._maybe_symbolic_build(iterator, data_batch)  # type: ignore[misc]

    def get_metrics_result(self) -> dict[str, Any]:
        results = super().get_metrics_result()  # type: ignore[misc]
        if self._replica_loss is not None:
            results["loss"] = results.pop(self._replica_loss.name)
        return results
