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
Inputs = Annotated[
    list[str],
    typer.Option(
        "--input",
        "-i",
        metavar="FILE",
        help="A .npy, .npz, .csv or .parquet file, an image, a folder of them, or a pattern such "
        "as 'data/*.parquet'; repeat for more.",
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="A .npy, .npz, .csv or .parquet file; no suffix: a folder of PNGs.",
    ),
]
Outputs = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="A .npy, .npz, .csv or .parquet file; no suffix: a folder of PNGs. For several "
        "inputs a folder, that gets a file for each.",
    ),
]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        "--keep", metavar="COLUMN", help="Column of a table to pass through; repeat for more."
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        help="Of files in a folder: parquet, csv or npy.", show_default="that of the input"
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Skip inputs whose output in the folder is complete.")
]
Replace = Annotated[bool, typer.Option("--replace", help="Make all outputs in the folder anew.")]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="Column of a table to read; repeat for more.",
        show_default="all",
    ),
]
ColumnsOfRun = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help="Column of a table to read; repeat for more.",
        show_default="the run's own, or all",
    ),
]
Rows = Annotated[
    int | None,
    typer.Option(
        "--batch-size", min=1, help="Samples in a call of the model.", show_default="by their size"
    ),
]
Label = Annotated[str | None, typer.Option(help="Column (or .npz key) that holds labels.")]
Limit = Annotated[int | None, typer.Option(help="Use at most this many samples.")]
Window = Annotated[
    int | None,
    typer.Option(
        help="Cut one long series, a time step per row, into samples of so many steps; the splits "
        "are blocks of time."
    ),
]
WindowStride = Annotated[
    int | None,
    typer.Option(help="Time steps from one window to the next.", show_default="1"),
]
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
