"""Whole files through a model: streamed, in bounded memory, each output complete or not there.

kerasae.scoring.apply("runs/x", "score", "data/*.parquet", "scores", keep=["id"])
"""

from kerasae.scoring.applying import RECORD, Applied, apply, recorded, trained_names

__all__ = ["RECORD", "Applied", "apply", "recorded", "trained_names"]
