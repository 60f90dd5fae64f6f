import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import typer

import kerasae
from kerasae.cli import app
from kerasae.runs import machines, placement

GUIDES = Path(__file__).parents[2] / "docs" / "guides"


def found(address, count, index):
    return {
        "coordinator_address": address,
        "coordinator_bind_address": address,
        "num_processes": count,
        "process_id": index,
    }


@pytest.mark.parametrize(
    ("listed", "machine", "expected"),
    [
        ("a:4000,b:4000", 1, found("a:4000", 2, 1)),
        (["a:4000", "b"], 0, found("a:4000", 2, 0)),
        ("[::1]:4000, b , c", 2, found("[::1]:4000", 3, 2)),
    ],
)
def test_addresses_are_read(listed, machine, expected):
    assert machines.find(listed, machine) == expected


@pytest.mark.parametrize(
    ("prefix", "names"),
    [
        ("KERAS_DISTRIBUTION_", ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")),
        ("JAX_", ("COORDINATOR_ADDRESS", "NUM_PROCESSES", "PROCESS_ID")),
    ],
)
def test_the_environment_is_read(monkeypatch, prefix, names):
    for name, value in zip(names, ("a:1,b:1", "3", "2"), strict=True):
        monkeypatch.setenv(prefix + name, value)
    assert machines.find("auto", None) == found("a:1", 3, 2)
    monkeypatch.setenv("JAX_COORDINATOR_BIND_ADDRESS", "[::]:1")
    assert machines.find("auto", None)["coordinator_bind_address"] == "[::]:1"
    monkeypatch.setenv(prefix + names[2], "two")
    with pytest.raises(ValueError, match=rf"{prefix}{names[2]}.*Received: .*'two'"):
        machines.find("auto", None)


def test_a_cluster_is_left_to_jax_to_detect():
    assert machines.find("auto", None) == {}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"machines": "a:4000", "machine": 0}, "machines='a:4000'"),
        ({"machines": "a,b", "machine": 0}, "machines='a'"),
        ({"machines": "a:4000,a:4000", "machine": 0}, "machines='a:4000,a:4000'"),
        ({"machines": "a:99999,b", "machine": 0}, "machines='a:99999'"),
        ({"machines": 3, "machine": 0}, "machines=3"),
        ({"machines": "a:4000,b", "machine": 2}, "machine=2"),
        ({"machines": "a:4000,b"}, "machine=None"),
        ({"machine": 1}, "machine=1 without machines"),
        ({"machines": "auto", "machine": 1}, "machine=1"),
        ({"machines": "a:4000,b", "machine": 0, "devices": 2}, "devices=2"),
        ({"machines": "a:4000,b", "machine": 0, "model_parallel": 0}, "model_parallel=0"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(tmp_path, asked, words):
    with pytest.raises(ValueError, match=f"Received: {words}"):
        kerasae.train("linear", out=tmp_path / "run", **asked)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow", reason="says what JAX would do"
)
def test_tensorflow_names_the_way_that_works(tmp_path):
    with pytest.raises(ValueError, match=r"KERAS_BACKEND=jax.*backend='tensorflow'"):
        kerasae.train("linear", out=tmp_path / "run", machines="a:4000,b", machine=0)


def test_the_first_thing_that_differs_is_named():
    alike = {"epochs": 3, "seed": 0}
    assert machines._problem([alike, alike, alike]) is None
    assert machines._problem([alike, alike, {**alike, "seed": 1}]) == (
        "All machines must be started alike, and seed differs. "
        "Received: seed=0 on machine 0, 1 on machine 2"
    )
    assert "no data" in machines._problem([alike, {"problem": "no data"}])


def test_machines_with_other_data_do_not_begin(monkeypatch):
    pytest.importorskip("jax")
    monkeypatch.setattr(placement, "_distribution", lambda *_: None)
    said = []

    def gather(mine):
        said.append(mine)
        return [said[0], mine]

    monkeypatch.setattr(machines, "_gather", gather)
    place = machines.Machines(["cpu:0"], 1, {"epochs": 3})
    monkeypatch.setattr(place, "_end", lambda: None)
    x = np.zeros((40, 3), "float32")
    place.check(kerasae.data.load(x))
    with pytest.raises(ValueError, match="Received: the beginning of the data="):
        place.check(kerasae.data.load(x + 1))


# Guides -----------------------------------------------------------------------------------


def parsed(words):
    """Return the options of a `kerasae train`, as its parser reads them."""
    command = typer.main.get_command(app).commands[words[1]]
    context = command.make_context("train", [], resilient_parsing=True)
    context.resilient_parsing = False  # which would pass over unknown options
    return command.make_parser(context).parse_args(words[2:])[0]


def test_the_kubernetes_job_starts_machines_that_find_each_other(monkeypatch):
    yaml = pytest.importorskip("yaml")
    service, job = yaml.safe_load_all((GUIDES / "kubernetes_job.yaml").read_text("utf-8"))
    spec = job["spec"]
    assert (service["kind"], job["kind"], spec["completionMode"]) == ("Service", "Job", "Indexed")
    [container] = spec["template"]["spec"]["containers"]
    options = parsed([*container["command"], *container["args"]])
    assert (options["machines"], options["resume"]) == ("auto", True)
    variables = {entry["name"]: entry.get("value", "1") for entry in container["env"]}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # The name of a pod of an Indexed Job, under the service that its subdomain names.
    name = job["metadata"]["name"]
    address = f"{name}-0.{spec['template']['spec']['subdomain']}:4000"
    assert machines.find("auto", None) == found(address, spec["completions"], 1)
    assert spec["completions"] == spec["parallelism"]
    assert service["metadata"]["name"] == spec["template"]["spec"]["subdomain"]
    assert service["spec"]["selector"] == {"job-name": name}
    assert variables["KERAS_BACKEND"] == "jax"


def test_the_slurm_job_is_a_script_with_our_command():
    script = GUIDES / "slurm_job.sh"
    subprocess.run(["bash", "-n", script], check=True)
    text = script.read_text("utf-8").replace("\\\n", "")
    [command] = [line.split() for line in text.splitlines() if line.startswith("srun")]
    options = parsed(command[command.index("kerasae") :])
    assert (options["machines"], options["resume"]) == ("auto", True)
    assert "export KERAS_BACKEND=jax" in text
