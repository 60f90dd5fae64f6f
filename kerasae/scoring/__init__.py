"""Whole files through a model: streamed, in bounded memory, each output complete or not there.

kerasae.scoring.apply("runs/x", "score", "data/*.parquet", "scores", keep=["id"])
"""

from kerasae.scoring.applying import Applied, apply
from kerasae.scoring.identity import recorded, trained_names
from kerasae.scoring.record import RECORD

__all__ = ["RECORD", "Applied", "apply", "recorded", "trained_names"]
