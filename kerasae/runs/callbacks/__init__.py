"""What Keras lacks: exact resumption, stopping without loss, and a quiet progress display."""

from kerasae.runs.callbacks.backup import Backup
from kerasae.runs.callbacks.progress import Progress
from kerasae.runs.callbacks.records import EpochOrder, EventLog, HistoryFile
from kerasae.runs.callbacks.stopping import NonFiniteLoss, StopOnInterrupt, StopOnNonFinite

__all__ = [
    "Backup",
    "EpochOrder",
    "EventLog",
    "HistoryFile",
    "NonFiniteLoss",
    "Progress",
    "StopOnInterrupt",
    "StopOnNonFinite",
]
