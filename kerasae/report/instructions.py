"""How to use a run: load and serve the model, train it again, continue."""

import json
import shlex
from pathlib import Path

from kerasae.report.page import Block
from kerasae.report.run import Run

_CODES = {"indices": "  # whole numbers", "gaussian": "  # the mean of each"}


def use(run: Run) -> list[Block]:
    """Show how to load the model, and how to serve the export where there is one."""
    here = _shown_path(run.path)
    blocks: list[Block] = []
    if (run.path / "model.keras").is_file():
        shape = run.config.get("input_shape")
        shapes = f"({', '.join(['n', *map(str, shape)])})" if isinstance(shape, list) else "a batch"
        lines = [
            "import kerasae",
            "",
            f"ae = kerasae.load({_quoted(f'{here}/model.keras')})",
            f"reconstruction = ae.reconstruct(x)  # x: {shapes} in raw units, and so is the result",
            f"code = ae.encode(x){_CODES.get(str(run.config.get('code_kind')), '')}",
            "error = ae.score(x)  # one per sample, higher is worse",
        ]
        if run.config.get("can_generate") or run.part("generation"):
            lines.append("samples = ae.generate(16, seed=0)")
        if run.part("detection"):
            lines.append("found = ae.detect(x)  # anomaly_score, p_value, is_anomaly")
        blocks += [("heading", "In Python"), ("code", "\n".join(lines))]
        if run.part("detection"):
            line = f"kerasae detect {shlex.quote(here)} --input FILE --output FILE"
            blocks += [("heading", "Find anomalies in a table or an array"), ("code", line)]
    exports = [path.parent.name for path in run.path.glob("saved_model/*/saved_model.pb")]
    if versions := [int(name) for name in exports if name.isdecimal()]:
        base = f"{here}/saved_model"
        lines = [
            "import tensorflow as tf  # nothing else is needed",
            "",
            f"served = tf.saved_model.load({_quoted(f'{base}/{max(versions)}')})",
            "print({name: s.structured_input_signature for name, s in served.signatures.items()})",
        ]
        # The server wants an absolute path.
        base = shlex.quote(base) if Path(base).is_absolute() else f'"$PWD"/{shlex.quote(base)}'
        server = "tensorflow_model_server --rest_api_port=8501 --model_name=autoencoder \\\n"
        blocks += [("heading", "Served by TensorFlow alone"), ("code", "\n".join(lines))]
        blocks += [("code", f"{server}  --model_base_path={base}")]
    return blocks


def commands(run: Run) -> list[Block]:
    """Return the command that made the run, and the one that continues an unfinished run."""
    recorded = run.config.get("command")
    if isinstance(recorded, list) and recorded:
        words = [str(word) for word in recorded if word not in ("--resume", "--replace")]
        again, further = f"{shlex.join(words)} --replace", f"{shlex.join(words)} --resume"
    else:  # data that no command can name, such as an array
        call = f"kerasae.train(..., out={_quoted(_shown_path(run.path))}"
        again, further = f"{call}, replace=True)", f"{call}, resume=True)"
    blocks: list[Block] = [("heading", "The same again"), ("code", again)]
    if not run.metrics:  # a finished run refuses to be resumed
        blocks += [("heading", "Continue after an interruption"), ("code", further)]
    return blocks


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _shown_path(path: Path) -> str:
    """Return a path relative to the working directory where that is possible."""
    resolved, here = path.resolve(), Path.cwd()
    return (resolved.relative_to(here) if resolved.is_relative_to(here) else resolved).as_posix()
