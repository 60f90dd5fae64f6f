"""The options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="Run directory or .keras file.", show_default=False)
]
ModelPath = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="Run directory, .keras file or SavedModel.", show_default=False
    ),
]
Input = Annotated[
    Path,
    typer.Option(
        "--input", "-i", help="A .npy, .npz, .csv or .parquet file, an image, or a folder of them."
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", help="A .npy, .npz, .csv or .parquet file; no suffix: a folder of PNGs."
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column", help="Column of a table to read; repeat for more.", show_default="all"
    ),
]
Rows = Annotated[int, typer.Option("--batch-size", min=1, help="Samples at a time.")]
Label = Annotated[str | None, typer.Option(help="Column (or .npz key) that holds labels.")]
Limit = Annotated[int | None, typer.Option(help="Use at most this many samples.")]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder of prepared TFDS sets.", show_default="TFDS_DATA_DIR")
]
DataOption = Annotated[
    str | None,
    typer.Option("--data", "-d", help="Name, TFDS set, or path.", show_default="the run's own"),
]
Split = Annotated[str | None, typer.Option(help="train, validation or test.")]
FalseAlarms = Annotated[
    float,
    typer.Option(help="Share of normal samples that may be flagged.", min=0.0, max=1.0),
]
