"""What Keras lacks: exact resumption, stopping without loss, and a quiet progress display."""

from kerasae.callbacks.backup import Backup
from kerasae.callbacks.progress import Progress
from kerasae.callbacks.records import EpochOrder, EventLog, HistoryFile
from kerasae.callbacks.stopping import NonFiniteLoss, StopOnInterrupt, StopOnNonFinite

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
