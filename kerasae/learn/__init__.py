"""What the lessons use beside the package: claims, figures, exercises, the latent explorer.

    from kerasae import learn

    learn.begin("02", globals())                     # reads PROFILE and the parameters
    learn.claim("C2.4", "more numbers, less error", error_8, "<", error_2)
    learn.figure(fig, alt="Error against code size: it falls from 0.04 at 2 to 0.01 at 32.")
    learn.exercise("2.1").check(count_parameters)

They ship with the package, so that a notebook copied elsewhere still works. Importing this
package loads neither IPython nor matplotlib; without IPython the same calls print text.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerasae.learn.claiming import claim, claims_table
    from kerasae.learn.exercising import Check, Exercise, exercise
    from kerasae.learn.exploring import Explorer, explorer
    from kerasae.learn.pictures import figure
    from kerasae.learn.profiles import begin, bound
    from kerasae.learn.showing import reveal, table

_HOMES = {
    "Check": "exercising",
    "Exercise": "exercising",
    "Explorer": "exploring",
    "begin": "profiles",
    "bound": "profiles",
    "claim": "claiming",
    "claims_table": "claiming",
    "exercise": "exercising",
    "explorer": "exploring",
    "figure": "pictures",
    "reveal": "showing",
    "table": "showing",
}

__all__ = [
    "Check",
    "Exercise",
    "Explorer",
    "begin",
    "bound",
    "claim",
    "claims_table",
    "exercise",
    "explorer",
    "figure",
    "reveal",
    "table",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kerasae.learn' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"kerasae.learn.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
