"""Reparameterized sampling of a Gaussian code, with its KL divergence."""

from typing import Any

import keras
from keras import ops

from kerasae.errors import is_real
from kerasae.layers.backend import batch_mean, normal
from kerasae.layers.penalty import Penalty, stochastic
from kerasae.schedules import Weight


@keras.saving.register_keras_serializable("kerasae")
class GaussianSampling(Penalty):
    """Samples `z = z_mean + exp(z_log_var / 2) * eps`, `eps ~ N(0, I)`, and adds the KL term.

    The KL divergence from `N(z_mean, diag(exp(z_log_var)))` to `N(0, I)`,

        KL = 1/2 sum_j (exp(z_log_var_j) + z_mean_j^2 - 1 - z_log_var_j),

    is summed over code dimensions, averaged over the batch, in nats, and multiplied by
    `kl_weight`. An `Autoencoder` reports it, unweighted, as `kl_loss`. In training, and while
    an `Autoencoder` evaluates, the layer samples; otherwise it returns `z_mean`.

    Args:
        kl_weight: Factor of the KL term ("beta"), a number >= 0 or a `Warmup`.
        free_bits: Nats per dimension exempt from the penalty: dimension `j` contributes
            `max(free_bits, mean_batch KL_j)`, which `kl_loss` includes. 0 disables it.
        seed: Seed of the noise. None draws a seed.

    Input shape:
        A pair `[z_mean, z_log_var]`, each `(batch, latent_dim)`.

    Output shape:
        `(batch, latent_dim)`.

    References:
        Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, equation 10 and
        appendix B; Higgins et al., "beta-VAE", 2017; Kingma et al., "Improved Variational
        Inference with Inverse Autoregressive Flow", 2016, appendix C.8 (free bits).
    """

    term_name = "kl_loss"
    weight_argument = "kl_weight"
    input_names = ("z_mean", "z_log_var")
    kl_weight = Penalty.weight

    def __init__(
        self,
        kl_weight: Weight = 1.0,
        free_bits: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(weight=kl_weight, **kwargs)
        if not is_real(free_bits) or free_bits < 0:
            raise ValueError(f"free_bits must be >= 0 nats. Received: free_bits={free_bits!r}")
        self.free_bits = float(free_bits)
        self.per_sample = not self.free_bits
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        pass

    def transform(self, inputs: Any, training: bool | None = None) -> Any:
        z_mean, z_log_var = inputs
        if not stochastic(training):
            return z_mean
        noise = normal(ops.shape(z_mean), self.seed_generator)
        return z_mean + ops.exp(0.5 * z_log_var) * ops.cast(noise, z_mean.dtype)

    def penalty(self, inputs: Any, outputs: Any, training: bool | None = None) -> Any:
        if self.free_bits:
            return self.divergence(*inputs)
        return ops.sum(self._divergences(*inputs), axis=-1)

    def divergence(self, z_mean: Any, z_log_var: Any) -> Any:
        """Return the KL term of a batch in nats, free bits included, as a float32 scalar."""
        kl = batch_mean(self._divergences(z_mean, z_log_var))
        return ops.sum(ops.maximum(kl, self.free_bits))

    @staticmethod
    def _divergences(z_mean: Any, z_log_var: Any) -> Any:
        z_mean, z_log_var = ops.cast(z_mean, "float32"), ops.cast(z_log_var, "float32")
        # expm1 avoids the cancellation of exp(v) - 1 - v near v = 0.
        return 0.5 * (ops.expm1(z_log_var) - z_log_var + ops.square(z_mean))

    def compute_output_shape(self, input_shape: Any, **_: Any) -> tuple:
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "free_bits": self.free_bits,
            "seed": self.seed,
        }
