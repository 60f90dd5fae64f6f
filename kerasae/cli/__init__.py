"""The command line. Whatever is heavy is imported inside the commands, so that help is instant."""

import os
import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from kerasae.cli import _judging, _serving, _training, _tutorials, _using, quiet


class _Commands(TyperGroup):
    """The commands; Ctrl-C in one ends it with a word, where typer ends it silently."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("Stopped.", file=sys.stderr)
            raise typer.Exit(130) from None


app = typer.Typer(
    name="kerasae",
    cls=_Commands,
    help="Autoencoders as plain Keras models: train, look at, use.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_DEBUG = "KERASAE_DEBUG"


def main(args: list[str] | None = None) -> None:
    """Run the command line; errors become one sentence and exit status 2.

    Args:
        args: Words after `kerasae`; those of the process by default.
    """
    quiet.silence_tensorflow()
    warnings.formatwarning = lambda message, *_, **__: f"Warning: {message}\n"
    try:
        status = app(args=args, prog_name="kerasae", standalone_mode=False)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
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


_COMMANDS = (
    *(_training.train, _training.variants, _training.data),
    *(_judging.evaluate, _judging.compare, _judging.report, _judging.calibrate),
    *(_using.encode, _using.reconstruct, _using.score, _using.detect, _using.generate),
    *(_using.export, _serving.serve, _tutorials.tutorials),
)
for _command in _COMMANDS:
    app.command()(_command)
