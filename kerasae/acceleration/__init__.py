"""Fast training: many steps in one compiled function, cheap noise, convolutions as products.

All of it can be turned off with `enable(False)`, or with `KERASAE_ACCELERATION=0` in the
environment; results are the same up to round-off and the numbers that noise is made of.

A model's `fit` enters `training(...)`, its `make_train_function` calls `train_function(...)`, and
its `train_step` and `test_step` run within `compiling(self.jit_compile)`. Nothing else is asked
of it.
"""

from kerasae.acceleration._state import compiling, enable, enabled, in_xla
from kerasae.acceleration.chunks import train_function, training

__all__ = ["compiling", "enable", "enabled", "in_xla", "train_function", "training"]
