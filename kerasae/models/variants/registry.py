"""Registry of variants by name."""

import fnmatch
import functools
import inspect
import json
import re
from collections.abc import Callable
from typing import Any

from kerasae.errors import check_whole, nearest
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.variants.assembly import assemble
from kerasae.models.variants.conditional import conditional_vae
from kerasae.models.variants.contractive import contractive
from kerasae.models.variants.denoising import denoising
from kerasae.models.variants.fsq import fsq
from kerasae.models.variants.linear import linear
from kerasae.models.variants.plain import overcomplete, undercomplete
from kerasae.models.variants.sparse import sparse_kl, sparse_l1
from kerasae.models.variants.topk import sparse_topk
from kerasae.models.variants.variational import variational

Builder = Callable[..., Autoencoder]

_BUILDERS: dict[str, Builder] = {
    "linear": linear,
    "undercomplete": undercomplete,
    "overcomplete": overcomplete,
    "sparse_l1": sparse_l1,
    "sparse_kl": sparse_kl,
    "sparse_topk": sparse_topk,
    "denoising": denoising,
    "contractive": contractive,
    "variational": variational,
    "conditional_vae": conditional_vae,
    "fsq": fsq,
    "convolutional": functools.partial(undercomplete, network="conv"),
    "sequence": functools.partial(undercomplete, network="sequence"),
}
_ALIASES = {"vae": "variational"}
_SUMMARIES = {
    "convolutional": "Build an undercomplete autoencoder on the conv network.",
    "sequence": "Build an undercomplete autoencoder on the sequence network.",
}


def build(
    name: str,
    /,
    input_shape: tuple[int, ...] | int,
    latent_dim: int | None = None,
    **options: Any,
) -> Autoencoder:
    """Build an autoencoder by the name of its variant.

    Args:
        name: Name of a variant, see `kerasae.variants()`. Positional only, since the option
            `name` is the name of the Keras model.
        input_shape: Shape of one sample, without the batch; an int for vectors.
        latent_dim: Size of the code; None takes the variant's default.
        **options: Options of the variant's builder, and the shared options: `network`,
            `hidden`, `activation`, `code_activation`, `normalization`, `kernel_size`,
            `encoder`, `decoder`, `input_dtype`, `scaler`, `corruption`, `corruption_level`,
            `output_activation`, `loss`, `seed`, `name`; see
            `kerasae.models.variants.assembly.assemble`.

    Returns:
        An `Autoencoder`, a Keras model to `compile()` and `fit(x)`.

    Raises:
        ValueError: If a name or option is unknown, or a value is invalid.

    Example:
    >>> import kerasae
    >>> ae = kerasae.build("undercomplete", input_shape=(8, 8, 1), latent_dim=10)
    >>> ae.encoder.output_shape, ae.output_shape
    ((None, 10), (None, 8, 8, 1))
    """
    key, builder = _find(name)
    _check_options(key, builder, options)
    shape = _check_shape(input_shape)
    if latent_dim is not None:
        latent_dim = check_whole("latent_dim", latent_dim)
    if isinstance(builder, functools.partial) and options.get("encoder") is not None:
        builder = builder.func  # custom networks replace the one that the variant names
    ae = builder(shape, latent_dim, **options)
    if isinstance(ae, Autoencoder):
        ae.built_with = {"variant": key, "latent_dim": ae.latent_dim, **_plain(options)}
    return ae


def _find(name: Any) -> tuple[str, Builder]:
    """Return a variant's canonical name and builder, or raise ValueError if it is unknown."""
    key = _ALIASES.get(name, name) if isinstance(name, str) else ""
    if key not in _BUILDERS:
        known = [*_BUILDERS, *_ALIASES]
        raise ValueError(
            f"Unknown variant; known are {', '.join(known)}.{nearest(name, known)} "
            f"Received: {name!r}"
        )
    return key, _BUILDERS[key]


def name_of(name: str) -> str:
    """Return the canonical name of a variant, resolving aliases such as `"vae"`."""
    return _find(name)[0]


def variants(pattern: str = "*") -> list[str]:
    """Return the names of the variants that match a shell pattern such as `"*sparse*"`."""
    return [name for name in _BUILDERS if fnmatch.fnmatchcase(name, pattern)]


def describe(name: str) -> str:
    """Return a one-line description of a variant, the first line of its builder's docstring."""
    name, builder = _find(name)
    text = _SUMMARIES.get(name) or inspect.getdoc(builder) or ""
    return text.splitlines()[0] if text else ""


def register(name: str, builder: Builder | None = None, *, replace: bool = False) -> Any:
    """Add a variant, as a call or as a decorator.

    Args:
        name: Name for `kerasae.build`.
        builder: `(input_shape, latent_dim, **options) -> Autoencoder`.
        replace: Whether to replace an existing variant of that name.

    Raises:
        ValueError: If the name is taken.

    Example:
        ```python
        @kerasae.register("wide")
        def wide(input_shape, latent_dim=None, **options):
            options = {"hidden": (1024,), **options}
            return kerasae.build("undercomplete", input_shape, latent_dim, **options)
        ```
    """
    if builder is None:
        return functools.partial(register, name, replace=replace)
    if (name in _BUILDERS or name in _ALIASES) and not replace:
        raise ValueError(
            f"A variant of this name exists; pass replace=True to replace it. Received: {name!r}"
        )
    _BUILDERS[name] = builder
    _ALIASES.pop(name, None)
    _SUMMARIES.pop(name, None)
    return builder


def options_of(name: str) -> list[str]:
    """Return the names of the options that `build(name, ...)` takes."""
    _, builder = _find(name)
    parameters = inspect.signature(builder).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        shared = inspect.signature(assemble).parameters.values()
        known += [p.name for p in shared if p.kind is p.KEYWORD_ONLY and p.name not in known]
    return known


def required_options(name: str) -> list[str]:
    """Return the names of the options that `build(name, ...)` requires."""
    parameters = inspect.signature(_find(name)[1]).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]


def explain_options(name: str) -> list[tuple[str, str, str]]:
    """Return name, default and description of `latent_dim` and of a variant's options.

    The description is the first sentence about the argument in a docstring, or empty.
    """
    _, builder = _find(name)
    meanings = {**_arguments_of(assemble), **_arguments_of(builder)}
    parameters = {
        **inspect.signature(assemble).parameters,
        **inspect.signature(builder).parameters,
    }
    fixed = builder.keywords if isinstance(builder, functools.partial) else {}
    rows = []
    for option in ["latent_dim", *options_of(name)]:
        value = parameters[option].default if option in parameters else None
        value = fixed.get(option, value)
        default = json.dumps(value) if isinstance(value, str) else repr(value)
        rows.append((option, default, _first_sentence(meanings.get(option, ""))))
    return rows


def notes(name: str) -> str:
    """Return the notes on shared options in a variant's docstring, or `""`."""
    text = _arguments_of(_find(name)[1]).get("**options", "")
    return text.removeprefix("See kerasae.build").lstrip(".; ")


def _arguments_of(builder: Builder) -> dict[str, str]:
    """Return the entries of a docstring's "Args" section, each on one line."""
    while isinstance(builder, functools.partial):
        builder = builder.func
    text = (inspect.getdoc(builder) or "").partition("\nArgs:\n")[2]
    section = re.split(r"\n\n|\n(?=\S)", text)[0].replace("`", "")
    entries = re.split(r"^ {4}(?=\S)", section, flags=re.MULTILINE)[1:]
    pairs = (entry.partition(":")[::2] for entry in entries)
    return {name: " ".join(meaning.split()) for name, meaning in pairs}


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.) (?=[A-Z])", text)[0]


def _check_options(name: str, builder: Builder, options: dict[str, Any]) -> None:
    known = options_of(name)
    for option in options:
        if option not in known:
            raise ValueError(
                f"{name!r} has no option {option!r}."
                f"{nearest(option, ['input_shape', 'latent_dim', *known])} "
                f"Its options are {', '.join(known)}. Received: {option}={options[option]!r}"
            )
    for option in required_options(name):
        if option not in options:
            raise ValueError(
                f"{name!r} requires the option {option}. "
                f"Received: {', '.join(options) or 'no options'}"
            )
    if isinstance(builder, functools.partial):
        for option, value in builder.keywords.items():
            if options.get(option, value) != value:
                raise ValueError(
                    f"{name!r} stands for {option}={value!r} and supports no other {option}. "
                    f"Received: {option}={options[option]!r}"
                )


def _check_shape(input_shape: Any) -> tuple[int, ...]:
    shape = (input_shape,) if hasattr(input_shape, "__index__") else input_shape
    if (
        not isinstance(shape, (tuple, list))
        or not shape
        or any(isinstance(n, bool) or not hasattr(n, "__index__") or n < 1 for n in shape)
    ):
        raise ValueError(
            "input_shape must be the shape of one sample, whole numbers >= 1, such as "
            f"(28, 28, 1) or (784,). Received: input_shape={input_shape!r}"
        )
    return tuple(int(n) for n in shape)


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """Return options in a form that JSON can represent, with objects as their class names."""
    plain = (str, int, float, bool, type(None))
    return {
        key: value
        if isinstance(value, plain)
        else [v if isinstance(v, plain) else type(v).__name__ for v in value]
        if isinstance(value, (list, tuple))
        else type(value).__name__
        for key, value in options.items()
    }
