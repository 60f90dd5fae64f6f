"""The guides: their Python runs, their commands parse, their links lead somewhere."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import typer

import kerasae
from kerasae.cli import app

FOLDER = Path(__file__).parents[1] / "docs" / "guides"
GUIDES = sorted(FOLDER.glob("*.md"))

exported = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="export runs on the TensorFlow backend",
)


def blocks(guide, language):
    text = (FOLDER / guide).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def run(guide, count=None):
    """Run the Python of a guide from top to bottom; return what each block leaves."""
    left = []
    for code in blocks(guide, "python")[:count]:
        left.append({})
        exec(code.replace("epochs=20", "epochs=1"), left[-1])
    return left


def close(answer, expected):
    answer, expected = np.asarray(answer, "f8"), np.asarray(expected, "f8")
    assert answer.shape == expected.shape
    scale = max(1, np.abs(expected).max())
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5 * scale)


@pytest.fixture(scope="module")
def onnx(tmp_path_factory):
    """The folder in which the guide to ONNX was run, and what its blocks left."""
    for package in ("onnxruntime", "tf2onnx"):
        pytest.importorskip(package)
    path = tmp_path_factory.mktemp("onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        yield path, run("onnx.md")


@exported
@pytest.mark.slow
def test_the_guide_to_onnx_runtime_in_python(onnx):
    path, (_, detected, decoded, _) = onnx
    served = kerasae.load(path / "models" / "digits")
    x = np.load(path / "images.npy")
    judged = served.detect(x)
    close(detected["score"], judged["anomaly_score"])
    close(detected["p_value"], judged["p_value"])
    close(detected["is_anomaly"], judged["is_anomaly"])
    close(detected["stricter"], served.detect(x, false_alarm_rate=0.01)["is_anomaly"])
    close(decoded["images"], served.decode(decoded["code"]))
    assert decoded["images"].shape == (16, 8, 8, 1)


@exported
@pytest.mark.slow
def test_the_guide_to_onnx_runtime_in_javascript(onnx):
    modules = os.environ.get("KERASAE_NODE_MODULES", "")
    if not shutil.which("node") or not Path(modules, "onnxruntime-web").is_dir():
        pytest.skip("needs node, and KERASAE_NODE_MODULES, a node_modules with onnxruntime-web")
    path, _ = onnx
    [code] = blocks("onnx.md", "js")
    (path / "detect.mjs").write_text(code)
    (path / "node_modules").symlink_to(modules)
    done = subprocess.run(
        ["node", "detect.mjs"], cwd=path, capture_output=True, text=True, timeout=60, check=True
    )
    scores, flags, p_values = re.findall(r"\[[^]]*\]", done.stdout)
    served = kerasae.load(path / "models" / "digits")
    judged = served.detect(np.load(path / "images.npy"))
    for printed, name in (
        (scores, "anomaly_score"),
        (flags, "is_anomaly"),
        (p_values, "p_value"),
    ):
        close([float(n) for n in re.findall(r"[-\d.e]+", printed)], judged[name])


@exported
@pytest.mark.slow
def test_the_guide_to_litert(tmp_path, monkeypatch):
    pytest.importorskip("ai_edge_litert")
    monkeypatch.chdir(tmp_path)
    _, answers = run("litert.md")
    served = kerasae.load("models/digits")
    x = np.load("images.npy")
    for name, rate in (("judged", None), ("stricter", 0.01)):
        for output, values in served.detect(x, false_alarm_rate=rate).items():
            close(answers[name][output], values)
    close(answers["code"], served.encode(x))


@exported
@pytest.mark.slow
def test_the_guide_to_beam(tmp_path, monkeypatch, capsys):
    pytest.importorskip("apache_beam")
    monkeypatch.chdir(tmp_path)
    run("beam.md")
    printed = sorted(line for line in capsys.readouterr().out.splitlines() if line[:1] == "(")
    row = np.float32([[0.5, 5, 50, 500]])
    judged = kerasae.load("models/table").detect(row)
    assert re.findall(r"'(\w+)':", printed[0]) == ["anomaly_score", "is_anomaly", "p_value"]
    close(float(re.search(r"p_value': np.float32\(([^)]*)\)", printed[0])[1]), judged["p_value"][0])
    shown = [block for block in blocks("beam.md", "text") if block.startswith("('a'")]
    assert printed[1] == shown[0].splitlines()[1]


def commands(guide):
    """Yield the words of every command of ours in a guide, as a shell would give them."""
    text = guide.read_text("utf-8").replace("\\\n", " ")
    for line in re.findall(r"^(?:\$ )?kerasae (.*)$", text, re.M):
        yield shlex.split(line.split(" | ")[0].split(" > ")[0].split(" &")[0], comments=True)
    for line in re.findall(r"`kerasae ([^`\n]*)`", text):
        yield shlex.split(line.replace("[", "").replace("]", "").replace("...", ""))


def parse(words):
    """Parse words as the command line does; missing arguments are no error."""
    name, *rest = words
    command = typer.main.get_command(app).commands[name]
    context = command.make_context(name, [], resilient_parsing=True)
    context.resilient_parsing = False  # which would pass over unknown options
    command.make_parser(context).parse_args(rest)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_commands_exist_with_their_options(guide):
    for words in commands(guide):
        parse(words)


def test_a_misspelt_option_would_be_noticed(tmp_path):
    (tmp_path / "guide.md").write_text("$ kerasae export runs/demo --too onnx  # to ONNX\n")
    [words] = commands(tmp_path / "guide.md")
    assert words == ["export", "runs/demo", "--too", "onnx"]
    with pytest.raises(Exception, match="--too"):
        parse(words)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_links_lead_to_files(guide):
    for link in re.findall(r"\]\(([^)#]+)", guide.read_text("utf-8")):
        assert "://" in link or (FOLDER / link).exists(), link


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_python_compiles(guide):
    for code in blocks(guide.name, "python"):
        compile(code, guide.name, "exec")


def test_the_manifests_run_our_command():
    yaml = pytest.importorskip("yaml")
    first, runtime, second = yaml.safe_load_all((FOLDER / "kserve.yaml").read_text("utf-8"))
    assert [d["kind"] for d in (first, runtime, second)] == [
        "InferenceService",
        "ServingRuntime",
        "InferenceService",
    ]
    [container] = runtime["spec"]["containers"]
    assert container["name"] == "kserve-container"
    arguments = container["args"]
    parse(["serve", *arguments])
    assert "--host=0.0.0.0" in arguments
    port = container["ports"][0]["containerPort"]
    assert f"--port={port}" in arguments
    assert (
        f"--metrics-port={runtime['spec']['annotations']['prometheus.kserve.io/port']}" in arguments
    )
    probes = [container[probe]["httpGet"] for probe in ("readinessProbe", "livenessProbe")]
    assert [p["path"] for p in probes] == ["/v2/health/ready", "/v2/health/live"]
    assert {p["port"] for p in probes} == {port}
    model = second["spec"]["predictor"]["model"]
    [known] = runtime["spec"]["supportedModelFormats"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"] == {key: known[key] for key in ("name", "version")}
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]

    [dockerfile] = blocks("kserve.md", "dockerfile")
    words = [re.findall(r'"([^"]*)"', line) for line in dockerfile.splitlines()[-2:]]
    assert words[0] == ["kerasae", "serve"]
    parse(["serve", *words[1]])
