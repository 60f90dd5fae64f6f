"""Whole files through a model: streamed, in bounded memory, each output complete or not there.

kerasae.batch.apply("runs/x", "score", "data/*.parquet", "scores", keep=["id"])
"""

from kerasae.batch.applying import RECORD, Applied, apply, recorded, trained_names

__all__ = ["RECORD", "Applied", "apply", "recorded", "trained_names"]
