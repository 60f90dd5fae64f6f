"""Helpers of the lessons: claims, figures, exercises, profiles and the latent explorer.

    import kerasae_lessons as learn

    learn.begin("02", globals())                     # reads PROFILE and the parameters
    learn.claim("C2.4", "more numbers, less error", error_8, "<", error_2)
    learn.figure(fig, alt="Error against code size: it falls from 0.04 at 2 to 0.01 at 32.")
    learn.exercise("2.1").check(count_parameters)

They are installed with kerasae, so a notebook copied anywhere still runs. Outside a notebook the
same calls print text. Import them before Keras: they keep TensorFlow's start quiet.
"""

from kerasae.cli.quiet import silence_tensorflow
from kerasae_lessons.claims import claim, claims_table
from kerasae_lessons.exercises import exercise
from kerasae_lessons.figures import figure
from kerasae_lessons.latent_explorer import Explorer, explorer
from kerasae_lessons.profiles import begin, bound
from kerasae_lessons.tables import reveal, table

__all__ = [
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

silence_tensorflow()
