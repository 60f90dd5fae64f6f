"""The command line. Whatever is heavy is imported inside the commands, so that help is instant."""

import contextlib
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from kerasae import _commands

app = typer.Typer(
    name="kerasae",
    help="Autoencoders as plain Keras models: train, look at, use.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_DEBUG = "KERASAE_DEBUG"

RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="Run directory or .keras file.", show_default=False)
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


def main(args: list[str] | None = None) -> None:
    """Run the command line; errors become one sentence and exit status 2.

    Args:
        args: Words after `kerasae`; those of the process by default.
    """
    # Hints for those who write tf.functions, which nobody does here.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.formatwarning = lambda message, *_, **__: f"Warning: {message}\n"
    try:
        status = app(args=args, prog_name="kerasae", standalone_mode=False)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except KeyboardInterrupt:
        status = 130
    except Exception as error:
        if os.environ.get(_DEBUG):
            raise
        status = _report(error)
    sys.exit(status if isinstance(status, int) else 0)


def _report(error: Exception) -> int:
    """Print one sentence about an error, and return the exit status."""
    expected = (ValueError, OSError, ImportError, ArithmeticError)
    if hasattr(error, "format_message"):  # a usage error of typer's parser
        print(f"{error.format_message()} See kerasae --help.", file=sys.stderr)
        return 2
    if isinstance(error, ModuleNotFoundError) and error.name:
        print(f"{error.name} is not installed; try: pip install {error.name}", file=sys.stderr)
        return 2
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, expected):
        print(text, file=sys.stderr)
        return 2
    print(
        f"Unexpected {type(error).__name__}: {text[:300]} (kerasae --debug ... shows where)",
        file=sys.stderr,
    )
    return 1


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    if debug:
        os.environ[_DEBUG] = "1"
    if version:
        import kerasae

        print(f"kerasae {kerasae.__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def train(
    variant: Annotated[str, typer.Argument(help="Name of a variant, see [b]kerasae variants[/].")],
    data: Annotated[str, typer.Option("--data", "-d", help="Name, TFDS set, or path.")] = "digits",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Run directory.", show_default="runs/VARIANT-DATA"),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Largest number of epochs.", show_default="about 12,000 steps"),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Samples per step.")] = 128,
    latent_dim: Annotated[
        int | None, typer.Option(help="Size of the code.", show_default="the variant's choice")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(help="dense, conv or sequence.", show_default="the variant's choice"),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Learning rate of Adam.", show_default="0.001")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Epochs to wait for a better one.", show_default="a tenth of the epochs"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, noise, splits and order.")] = 0,
    precision: Annotated[
        str | None, typer.Option(help="Keras dtype policy, such as mixed_bfloat16.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Option of variant or network, such as hidden=[64]."
        ),
    ] = None,
    label: Label = None,
    column: Columns = None,
    limit: Limit = None,
    validation: Annotated[
        float | None, typer.Option(help="Share or number of training samples to validate on.")
    ] = None,
    test: Annotated[
        float | None, typer.Option(help="Share or number of training samples to test on.")
    ] = None,
    data_dir: DataDir = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an unfinished run.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the run in --out.")] = False,
    export: Annotated[
        bool | None,
        typer.Option(
            "--export/--no-export", help="Write a verified SavedModel, too.", show_default="export"
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> None:
    """Train an autoencoder and leave a run directory with its report.

    Ctrl-C stops after the current batch; --resume goes on from there.
    """
    import inspect

    from kerasae.training import train as run_training

    options = _commands.read_settings(settings or [], inspect.signature(run_training).parameters)
    data_options = {
        "label": label, "columns": column, "limit": limit, "validation": validation,
        "test": test, "data_dir": None if data_dir is None else str(data_dir),
    }  # fmt: skip
    run = run_training(
        variant, data=data, out=out, epochs=epochs, batch_size=batch_size, latent_dim=latent_dim,
        network=network, seed=seed, precision=precision, learning_rate=learning_rate,
        patience=patience, data_options={k: v for k, v in data_options.items() if v is not None},
        resume=resume, replace=replace, export=export, verbose=int(not quiet),
        **options,
    )  # fmt: skip
    if run.interrupted:
        raise typer.Exit(130)


@app.command()
def variants(
    pattern: Annotated[str, typer.Argument(help="Shell pattern, such as '*sparse*'.")] = "*",
) -> None:
    """List the variants, and the options of a single one."""
    from kerasae._text import nearest
    from kerasae.models import registry

    names = registry.variants(pattern)
    if not names:
        with contextlib.suppress(KeyError):
            names = [pattern] if registry.describe(pattern) else []  # an alias
    if not names:
        known = registry.variants()
        raise ValueError(
            f"pattern must match a variant: {', '.join(known)}.{nearest(pattern, known)} "
            f"Received: pattern={pattern!r}"
        )
    _commands.print_table((name, registry.describe(name)) for name in names)
    if len(names) == 1:
        print(f"\nOptions: {', '.join(registry.options_of(names[0]))}")


@app.command()
def data(
    name: Annotated[
        str | None, typer.Argument(help="Source to describe: a name, a TFDS set, or a path.")
    ] = None,
    label: Label = None,
    column: Columns = None,
    limit: Limit = None,
    data_dir: DataDir = None,
) -> None:
    """List the sources of data, or describe one."""
    import kerasae.data

    if name is None:
        rows = dict(kerasae.data.sources())
        rows["mnist, ..."] = "any image set of TensorFlow Datasets, by its name"
        rows["PATH"] = "a .npy, .npz, .csv or .parquet file, or a folder of images or tables"
        _commands.print_table(rows.items())
        return
    splits = kerasae.data.load(name, label=label, columns=column, limit=limit, data_dir=data_dir)
    span = "" if splits.value_range is None else ", {:g} to {:g}".format(*splits.value_range)
    rows = {
        "sample": f"{' x '.join(map(str, splits.shape))} {splits.dtype}{span}",
        **{split: f"{count:,} samples" for split, count in splits.sizes.items()},
        "read": "from the file in every epoch" if splits.streamed else "into memory",
    }
    if splits.class_names:
        rows["classes"] = ", ".join(splits.class_names)
    _commands.print_table(rows.items())


@app.command()
def reconstruct(
    run: RunPath, input: Input, output: Output, column: Columns = None, batch_size: Rows = 1024
) -> None:
    """Write the reconstruction of every sample, in the units of the input."""
    names = _commands.column_names(input, column)
    _commands.apply(run, input, output, column, batch_size, lambda ae: ae.reconstruct, names)


@app.command()
def encode(
    run: RunPath, input: Input, output: Output, column: Columns = None, batch_size: Rows = 1024
) -> None:
    """Write the code of every sample, in columns code_0, code_1, ..."""
    _commands.apply(run, input, output, column, batch_size, lambda ae: ae.encode, "code")


@app.command()
def score(
    run: RunPath, input: Input, output: Output, column: Columns = None, batch_size: Rows = 1024
) -> None:
    """Write the reconstruction error of every sample; higher is worse."""
    names = ["reconstruction_error"]
    _commands.apply(run, input, output, column, batch_size, lambda ae: ae.score, names)


@app.command()
def generate(
    run: RunPath,
    output: Output,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Number of samples.")] = 16,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
) -> None:
    """Write new samples, drawn from the prior of a variational model."""
    import kerasae

    samples = kerasae.load(run).generate(count, seed=seed)
    kerasae.data.write(output, [samples])
    print(f"{count:,} samples written to {output}")
