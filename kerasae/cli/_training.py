"""Commands before there is a model: train, variants, data."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from kerasae.cli import _helpers
from kerasae.cli._options import Columns, DataDir, Label, Limit, Window, WindowStride


def train(
    variant: Annotated[str, typer.Argument(help="Name of a variant, see [b]kerasae variants[/].")],
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", help="Name, TFDS set, or path.", show_default="digits"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Run directory.", show_default="runs/VARIANT-DATA"),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Largest number of epochs.", show_default="about 12,000 steps"),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Samples per step.", show_default="128")
    ] = None,
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
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of weights, noise, splits and order.", show_default="0"),
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="Keras dtype policy, such as mixed_bfloat16.")
    ] = None,
    deterministic: Annotated[
        bool | None,
        typer.Option(
            "--deterministic",
            help="Give the same bits in every process, on a GPU too; slower.",
            show_default=False,
        ),
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
    window: Window = None,
    window_stride: WindowStride = None,
    validation: Annotated[
        float | None,
        typer.Option(help="Share or number of training samples (or time steps) to validate on."),
    ] = None,
    test: Annotated[
        float | None,
        typer.Option(help="Share or number of training samples (or time steps) to test on."),
    ] = None,
    binarize: Annotated[
        str | None, typer.Option(help="Make values 0 or 1: threshold, static or dynamic.")
    ] = None,
    data_dir: DataDir = None,
    devices: Annotated[
        str | None,
        typer.Option(
            help="Devices of this machine that share every batch: all, or how many.",
            show_default="the first",
        ),
    ] = None,
    machines: Annotated[
        str | None,
        typer.Option(
            help="Addresses of several machines, the first with a port, as in host0:4000,host1; "
            "auto reads them from the environment. Run the command on each (KERAS_BACKEND=jax).",
        ),
    ] = None,
    machine: Annotated[
        int | None, typer.Option(help="Number of this machine among --machines, from 0.")
    ] = None,
    model_parallel: Annotated[
        int | None,
        typer.Option(help="Devices of a machine that divide wide dense layers between them (JAX)."),
    ] = None,
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

    Ctrl-C stops after the current batch, and twice at once; --resume goes on from there, with the
    run's own options.
    """
    import inspect

    from kerasae.runs import train as run_training

    options = _helpers.read_settings(settings or [], inspect.signature(run_training).parameters)
    data_options = {
        "label": label, "columns": column, "limit": limit, "validation": validation,
        "test": test, "binarize": binarize, "data_dir": None if data_dir is None else str(data_dir),
        "window": window, "stride": window_stride,
    }  # fmt: skip
    run = run_training(
        variant, data=data, out=out, epochs=epochs, batch_size=batch_size, latent_dim=latent_dim,
        network=network, seed=seed, precision=precision, learning_rate=learning_rate,
        patience=patience, data_options={k: v for k, v in data_options.items() if v is not None},
        deterministic=deterministic,
        resume=resume, replace=replace, export=export, verbose=int(not quiet),
        devices=int(devices) if devices is not None and devices.isdigit() else devices,
        machines=machines, machine=machine, model_parallel=model_parallel,
        **options,
    )  # fmt: skip
    if run.interrupted:
        raise typer.Exit(128 + (run.signal or 2))


def variants(
    pattern: Annotated[str, typer.Argument(help="Shell pattern, such as '*sparse*'.")] = "*",
) -> None:
    """List the variants, and the options of a single one with their defaults."""
    from kerasae.errors import nearest
    from kerasae.models.variants import registry

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
    _helpers.print_table((name, registry.describe(name)) for name in names)
    if len(names) == 1:
        print()
        rows = registry.explain_options(names[0])
        _helpers.print_table((f"{name} = {default}", text) for name, default, text in rows)
        if note := registry.notes(names[0]):
            print(f"\n{note}")
        print("\nTo give one: --latent-dim, --network, --seed, and --set NAME=VALUE for the rest.")


def data(
    name: Annotated[
        str | None, typer.Argument(help="Source to describe: a name, a TFDS set, or a path.")
    ] = None,
    label: Label = None,
    column: Columns = None,
    limit: Limit = None,
    window: Window = None,
    window_stride: WindowStride = None,
    data_dir: DataDir = None,
) -> None:
    """List the sources of data, or describe one."""
    import kerasae.data

    if name is None:
        rows = dict(kerasae.data.sources())
        rows["mnist, ..."] = "any image set of TensorFlow Datasets, by its name"
        rows["PATH"] = "a .npy, .npz, .csv or .parquet file, or a folder of images or tables"
        _helpers.print_table(rows.items())
        return
    splits = kerasae.data.load(
        name, label=label, columns=column, limit=limit, data_dir=data_dir, window=window,
        stride=window_stride,
    )  # fmt: skip
    span = "" if splits.value_range is None else ", {:g} to {:g}".format(*splits.value_range)
    rows = {
        "sample": f"{' x '.join(map(str, splits.shape))} {splits.dtype}{span}",
        **{split: f"{count:,} samples" for split, count in splits.sizes.items()},
        "read": "from the file in every epoch" if splits.streamed else "into memory",
    }
    if splits.class_names:
        rows["classes"] = ", ".join(splits.class_names)
    _helpers.print_table(rows.items())
