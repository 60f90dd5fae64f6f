"""One training on several machines: two processes of this one, and the link between them alone."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer

import kerasae
from kerasae.cli import app
from kerasae.runs import link, machines, placement

GUIDES = Path(__file__).parents[1] / "docs" / "guides"

PROGRAM = """
import json, os, signal, sys
import kerasae, keras, numpy as np
from kerasae import callbacks, evaluation
from kerasae.runs import figures, training

figures.draw = lambda *_, **__: []
evaluation.measure = lambda *_, **__: {"test": {"mse": 1.0}, "baselines": {"pca": {"mse": 1.0}}}
training._SAVE_EVERY = 0.0
asked = json.loads(sys.argv[1])
die_in = asked.pop("die_in", None)
if die_in:
    def die(self, epoch, logs=None):
        if epoch + 1 == die_in:
            os.kill(os.getpid(), signal.SIGKILL)
    callbacks.EventLog.on_epoch_end = die
parts, restore = set(), callbacks.Backup.on_train_begin
def count(self, logs=None):
    restore(self, logs)
    for variable in [*self.model.weights, *self.model.optimizer.variables]:
        here = variable.value.sharding.addressable_devices_indices_map(tuple(variable.shape))
        parts.add((len(set(map(str, here.values()))), len(here)))
callbacks.Backup.on_train_begin = count
rng = np.random.default_rng(0)
x = (rng.normal(size=(263, 3)) @ rng.normal(size=(3, 12)) + 5).astype("float32")
x[0, 0] += asked.pop("other_data", 0)
# Batches of 32, the last of 8; then 7 samples to validate on, of which two devices see 6.
splits = kerasae.data.load(x, batch_size=asked.pop("batch_size", 32), validation=39, test=24)
hidden = [asked.pop("hidden", 8)]
for one in asked.pop("trainings", [{}]):
    one.pop("hidden", None)
    try:
        run = kerasae.train("variational", data=splits, hidden=hidden, latent_dim=2,
                            verbose=0, **{**asked, **one})
        x_ = splits.array("test")
        print(json.dumps({"scores": run.model.score(x_).tolist(), "path": str(run.path),
                          "parts": sorted(parts)}))
    except Exception as error:
        print(type(error).__name__, error, flush=True)
        sys.exit(2)
"""


def begin(tmp_path, **asked):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    flags = asked.pop("flags", "")
    asked = {name: str(v) if name == "out" else v for name, v in asked.items()}
    return subprocess.Popen(
        [sys.executable, program, json.dumps(asked)],
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "KERASAE_MACHINES_TIMEOUT": "120",
            "XLA_FLAGS": flags,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def both(tmp_path, first=None, second=None, **asked):
    """Run two machines; return exit status and output of each."""
    place = f"127.0.0.1:{free_port()},127.0.0.1"
    processes = []
    try:
        for number, own in enumerate((first, second)):
            out = tmp_path / f"out{number}"
            own = {"out": out, **asked, **(own or {})}
            processes.append(begin(tmp_path, machines=place, machine=number, **own))
        return [(*p.communicate(timeout=240), p.returncode) for p in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def history(path):
    return np.loadtxt(path / "history.csv", delimiter=",", skiprows=1)


# On wide layers the best epoch is the third, and the fourth is the last.
STOPPED = {"hidden": 512, "epochs": 6, "patience": 1, "learning_rate": 0.02}
ON_DEVICES = "--xla_force_host_platform_device_count={}"


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same training in one process: on one device, on two, and on two by two."""
    pytest.importorskip("jax")
    path = tmp_path_factory.mktemp("alone")
    trainings = [
        {"out": str(path / "one")},
        {"out": str(path / "two"), "devices": 2},
        {"out": str(path / "wide"), "devices": "all", "model_parallel": 2},
        {"out": str(path / "stopped"), "devices": "all", "model_parallel": 2, **STOPPED},
    ]
    flags = ON_DEVICES.format(4)
    process = begin(path, trainings=trainings, epochs=4, hidden=512, flags=flags)
    try:
        out, errors = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 0, out + errors
    return path


@pytest.mark.slow
@pytest.mark.parametrize("other", ["two", "wide"])
def test_devices_of_one_machine_agree_with_one_device(alone, other):
    one, several = history(alone / "one"), history(alone / other)
    # The columns of validation differ by the sample that is left over.
    columns = slice(0, 4)
    np.testing.assert_allclose(several[:, columns], one[:, columns], rtol=1e-5)
    weights = kerasae.load(alone / "one/model.keras").get_weights()
    others = kerasae.load(alone / other / "model.keras").get_weights()
    for mine, theirs in zip(weights, others, strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-4, atol=1e-5)
    config = json.loads((alone / other / "config.json").read_text())
    assert config["devices"] == 2


@pytest.mark.slow
def test_two_processes_agree_with_one_though_one_of_them_is_killed(alone, tmp_path):
    asked = {"epochs": 4, "hidden": 512}
    (out, errors, status), (*_, killed) = both(tmp_path, second={"die_in": 3}, **asked)
    assert killed == -9
    assert status == 2
    assert "MachineLost Training stopped, since machine 1 ended" in out, out + errors
    assert "--resume" in out
    assert 2 <= len(history(tmp_path / "out0")) < 4

    left, right = both(tmp_path, resume=True, **asked)
    assert (left[2], right[2]) == (0, 0), left[1] + right[1]
    assert not (tmp_path / "out1").exists()
    assert (tmp_path / "out0/metrics.json").is_file()
    assert not (tmp_path / "out0/checkpoints").exists()
    said, said_too = (json.loads(out.splitlines()[-1]) for out, _, _ in (left, right))
    np.testing.assert_allclose(said["scores"], said_too["scores"], rtol=1e-5)

    # One process on two devices leaves the same sample out of the validation.
    one, two = history(alone / "two"), history(tmp_path / "out0")
    np.testing.assert_allclose(two, one, rtol=1e-5)
    loaded = kerasae.load(tmp_path / "out0")
    weights = kerasae.load(alone / "one/model.keras").get_weights()
    for mine, theirs in zip(weights, loaded.get_weights(), strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-4, atol=1e-5)
    config = json.loads((tmp_path / "out0/config.json").read_text())
    assert config["devices"] == 2


@pytest.mark.slow
def test_machines_divide_wide_layers_though_one_is_killed_and_training_stops_early(alone, tmp_path):
    asked = {**STOPPED, "model_parallel": 2, "flags": ON_DEVICES.format(2)}
    (out, errors, status), (*_, killed) = both(tmp_path, second={"die_in": 3}, **asked)
    assert (status, killed) == (2, -9), out + errors
    assert "MachineLost Training stopped, since machine 1 ended" in out, out + errors
    assert 2 <= len(history(tmp_path / "out0")) < 4

    left, right = both(tmp_path, resume=True, **asked)
    assert (left[2], right[2]) == (0, 0), left[1] + right[1]
    said, said_too = (json.loads(out.splitlines()[-1]) for out, _, _ in (left, right))
    np.testing.assert_allclose(said["scores"], said_too["scores"], rtol=1e-5)
    # Of the two devices of a machine each had a half of what is divided, and all of the rest.
    assert said["parts"] == said_too["parts"] == [[1, 2], [2, 2]]

    path, one = tmp_path / "out0", alone / "stopped"
    np.testing.assert_allclose(history(path), history(one), rtol=1e-5)
    trained = json.loads((path / "metrics.json").read_text())["training"]
    assert (trained["epochs"], trained["best_epoch"]) == (4, 3)
    weights, others = (kerasae.load(run / "model.keras").get_weights() for run in (one, path))
    for mine, theirs in zip(weights, others, strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-5, atol=1e-5)
    config = json.loads((path / "config.json").read_text())
    assert config["devices"] == 2
    assert not (path / "checkpoints").exists()
    assert (path / "report.html").is_file()


@pytest.mark.slow
def test_machines_with_other_numbers_of_devices_say_so_on_both(tmp_path):
    pytest.importorskip("jax")
    more = {"flags": ON_DEVICES.format(2)}
    for out, _, status in both(tmp_path, flags=ON_DEVICES.format(1), second=more):
        assert status == 2
        assert "number of devices differs. Received: number of devices=1 on machine 0, 2" in out
    assert not (tmp_path / "out0").exists()


def test_groups_of_devices_must_fit_the_machines_and_the_batches(monkeypatch):
    monkeypatch.setattr(placement, "_distribution", lambda *_: None)
    names = [f"cpu:{i}" for i in range(6)]
    with pytest.raises(ValueError, match=r"must divide .* model_parallel=2 for 3 devices"):
        placement.Meshed(names, 2, 0, 2)
    place = placement.Meshed(names, 3, 0, 2)
    splits = SimpleNamespace(batch_size=33, sizes={"train": 99, "validation": 0})
    words = "samples on all 2 groups of 3 devices together and must be a multiple of 2, such as 32"
    with pytest.raises(ValueError, match=words):
        place.settle({"command": None}, splits)


def test_a_divided_variable_is_read_from_the_parts_that_are_here():
    """What JAX knows of a variable with parts in other processes, which no test process has."""
    whole = np.arange(12.0, dtype="float32").reshape(3, 4)
    halves = [(slice(None), slice(0, 2)), (slice(None), slice(2, 4))]

    class Variable:
        path = "dense/kernel"

        def __init__(self, shown):
            shards = [SimpleNamespace(index=at, data=whole[at]) for at in shown]
            self.value = SimpleNamespace(
                shape=whole.shape, dtype=whole.dtype, size=whole.size, addressable_shards=shards,
                is_fully_addressable=False, is_fully_replicated=False,
            )  # fmt: skip

    here, torn = Variable(halves * 2), Variable(halves[:1])
    placement._make_readable([here, torn])
    np.testing.assert_array_equal(np.array(here), whole)
    assert np.asarray(here, "float64").dtype == "float64"
    with pytest.raises(RuntimeError, match=re.escape("Received: dense/kernel in 1 parts")):
        np.asarray(torn)


@pytest.mark.slow
def test_machines_with_other_data_or_settings_say_so_on_both(tmp_path):
    pytest.importorskip("jax")
    (out, _, status), (out_too, _, status_too) = both(tmp_path, second={"epochs": 7}, epochs=3)
    assert (status, status_too) == (2, 2)
    for said in (out, out_too):
        assert "epochs differs. Received: epochs=3 on machine 0, 7 on machine 1" in said
        assert "MachineLost" not in said
    assert not (tmp_path / "out0").exists()


def met(count=2):
    """Return the links of machines that met over real connections."""
    with link.listen(0) as server:
        port = server.getsockname()[1]
        wires = {}

        def come(number):
            wires[number] = link.join("127.0.0.1", port, number, {"keras": "3"}, 10.0)

        threads = [threading.Thread(target=come, args=(n,)) for n in range(1, count)]
        for thread in threads:
            thread.start()
        gathered = link.gather(server, count, {"keras": "3"}, 10.0)
        for thread in threads:
            thread.join()
    return [link.Link(0, gathered), *(link.Link(n, {0: wires[n]}) for n in range(1, count))]


def on_all(links, action):
    """Call an action on all links at once; return what each raised."""
    raised = [None] * len(links)

    def call(number):
        try:
            action(links[number])
        except Exception as error:
            raised[number] = error

    threads = [threading.Thread(target=call, args=(n,)) for n in range(len(links))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


@pytest.fixture
def links():
    made = met(3)
    yield made
    on_all(made, lambda one: one.close(lambda: None))


def test_machines_agree_or_all_hear_what_differs(links):
    assert on_all(links, lambda one: one.agree({"epochs": 3})) == [None] * 3
    raised = on_all(links, lambda one: one.agree({"epochs": 3, "seed": one.index // 2}))
    assert {str(error) for error in raised} == {
        "All machines must be started alike, and seed differs. Received: seed=0 on machine 0, "
        "1 on machine 2"
    }


def test_a_machine_that_ends_over_a_difference_is_not_lost(monkeypatch):
    here, there = met()
    send = link.Wire.send

    def slow(wire, **message):
        send(wire, **message)
        if message.get("problem"):
            time.sleep(0.5)  # in which the other ends, as it may

    monkeypatch.setattr(link.Wire, "send", slow)

    def agree(one):
        try:
            one.agree({"seed": one.index})
        finally:
            if one is there:
                one.wires[0].close()

    assert {type(error) for error in on_all([here, there], agree)} == {ValueError}
    assert (here.lost, there.lost) == (None, None)
    on_all([here, there], lambda one: one.close(lambda: None))


def test_machines_end_together(links):
    ended = []
    assert on_all(links, lambda one: one.finish()) == [None] * 3
    on_all(links, lambda one: one.close(lambda: ended.append(one.index)))
    assert ended[-1] == 0  # the one that the others depend on
    assert all(one.lost is None for one in links)


def test_all_hear_why_a_machine_left(links):
    links[2].leave("the disk is full")
    for one in links[:2]:
        with pytest.raises(link.MachineLost, match="since machine 2 stopped: the disk is full"):
            one.check(10.0)


def test_a_machine_that_ends_or_falls_silent_is_noticed(links, monkeypatch):
    links[1]._over.set()
    links[1].wires[0].close()
    for one in (links[0], links[2]):
        with pytest.raises(link.MachineLost, match=r"since machine 1 ended; .* --resume"):
            one.check(10.0)
    monkeypatch.setattr(link, "_SILENCE", 0.2)
    quiet = met()
    with pytest.raises(link.MachineLost, match=r"has not been heard of for 0\.2 seconds"):
        quiet[0].check(10.0)
    on_all(quiet, lambda one: one.close(lambda: None))


def test_a_process_that_waits_for_a_lost_machine_ends_itself(tmp_path):
    program = """
import socket, sys, time
from kerasae.runs import link
link._GRACE = 0.1
ours, theirs = socket.socketpair(socket.AF_INET)
link = link.Link(0, {1: link.Wire(ours)}, lambda: print("cleared", flush=True))
theirs.close()
time.sleep(60)
"""
    program = program.replace("socket.socketpair(socket.AF_INET)", "pair()").replace(
        "link._GRACE", "def pair():\n    with socket.create_server(('127.0.0.1', 0)) as s:\n"
        "        c = socket.create_connection(s.getsockname())\n        return c, s.accept()[0]\n"
        "link._GRACE",
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 2
    assert done.stdout == "cleared\n"
    assert done.stderr.startswith("Training stopped, since machine 1 ended; start the command on")


@pytest.mark.parametrize(
    ("mine", "number", "words"),
    [
        ({"keras": "3"}, 5, "a number of its own from 0 to 1"),
        ({"keras": "4"}, 1, "keras differs. Received: keras='3' on machine 0, '4' on machine 1"),
    ],
)
def test_machines_that_were_started_otherwise_are_refused(mine, number, words):
    with link.listen(0) as server:
        port = server.getsockname()[1]
        wire = []
        thread = threading.Thread(
            target=lambda: wire.append(link.join("127.0.0.1", port, number, mine, 10.0))
        )
        thread.start()
        with pytest.raises(ValueError, match=words):
            link.gather(server, 2, {"keras": "3"}, 10.0)
        thread.join()
    assert words in wire[0].receive(10.0)["problem"]
    wire[0].close()


def test_who_does_not_come_is_named_and_strangers_are_passed_over():
    with link.listen(0) as server, socket.create_connection(server.getsockname()[:2]) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(OSError, match=r"Of 3 machines, 1, 2 did not come within 0\.5"):
            link.gather(server, 3, {}, 0.5)


def test_a_machine_0_that_is_not_there_and_a_port_in_use():
    with pytest.raises(OSError, match=r"Machine 0 did not answer at 127.0.0.1:\d+ within 0.3"):
        link.join("127.0.0.1", free_port(), 1, {}, 0.3)
    with link.listen(0) as server:
        port = server.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen at port {port}: .* in use; choose"):
            link.listen(port)


def test_files_of_a_run_stay_in_its_folder(tmp_path):
    (tmp_path / "state.json").write_bytes(b"\x00\xff")
    packed = link.pack(lambda name: (tmp_path / name).read_bytes(), ["state.json"])
    assert link.unpack(json.loads(json.dumps(packed))) == {"state.json": b"\x00\xff"}
    for name in ("../up", "/etc/passwd", "a/../../b"):
        with pytest.raises(ValueError, match="belongs to no run"):
            link.unpack({name: ""})


@pytest.mark.parametrize(
    ("machines", "machine", "found"),
    [
        ("a:4000,b:4000", 1, ("a:4000", 2, 1)),
        (["a:4000", "b"], 0, ("a:4000", 2, 0)),
        ("[::1]:4000, b , c", 2, ("[::1]:4000", 3, 2)),
    ],
)
def test_addresses_are_read(machines, machine, found):
    assert machines.find(machines, machine) == found


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"KERAS_DISTRIBUTION_JOB_ADDRESSES": "a:1,b:1", "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
          "KERAS_DISTRIBUTION_PROCESS_ID": "1"}, ("a:1", 2, 1)),
        ({"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "3", "JAX_PROCESS_ID": "2"},
         ("a:1", 3, 2)),
        ({"SLURM_STEP_NODELIST": "node[007-9,12],x", "SLURM_JOB_ID": "4097", "SLURM_NTASKS": "4",
          "SLURM_PROCID": "3"}, ("node007:61441", 4, 3)),
        ({"SLURM_STEP_NODELIST": "one,two", "SLURM_JOB_ID": "1", "SLURM_NTASKS": "2",
          "SLURM_PROCID": "0"}, ("one:61441", 2, 0)),
    ],
)  # fmt: skip
def test_the_environment_is_read(monkeypatch, variables, found):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert machines.find("auto", None) == found


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"machines": "a:4000", "machine": 0}, "at least two machines"),
        ({"machines": "a,b", "machine": 0}, "the first with a port"),
        ({"machines": "a:4000,a:4000", "machine": 0}, "at least two machines"),
        ({"machines": "a:99999,b", "machine": 0}, "the first with a port"),
        ({"machines": 3, "machine": 0}, "machines=3"),
        ({"machines": "a:4000,b", "machine": 2}, "from 0 to 1"),
        ({"machines": "a:4000,b"}, "machine=None"),
        ({"machine": 1}, "without machines"),
        ({"machines": "auto"}, "KERAS_DISTRIBUTION_JOB_ADDRESSES"),
        ({"machines": "auto", "machine": 1}, "leave machine out"),
        ({"machines": "a:4000,b", "machine": 0, "devices": 2}, "leave devices out"),
        ({"machines": "a:4000,b", "machine": 0, "model_parallel": 0}, "whole number >= 1"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(tmp_path, asked, words):
    with pytest.raises(ValueError, match=words):
        kerasae.train("linear", out=tmp_path / "run", **asked)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow", reason="says what JAX would do"
)
def test_tensorflow_names_the_way_that_works(tmp_path):
    with pytest.raises(ValueError, match="set KERAS_BACKEND=jax on each") as raised:
        kerasae.train("linear", out=tmp_path / "run", machines="a:4000,b", machine=0)
    assert "backend='tensorflow'" in str(raised.value)


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
    address, count, index = machines.find("auto", None)
    assert (count, index) == (spec["completions"], 1) == (spec["parallelism"], 1)
    # The name of a pod of an Indexed Job, under the service that its subdomain names.
    name = job["metadata"]["name"]
    assert address == f"{name}-0.{spec['template']['spec']['subdomain']}:4000"
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
