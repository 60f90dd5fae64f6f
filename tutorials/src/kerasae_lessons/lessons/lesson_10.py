"""Exercises of lesson 10: the version to load, a golden-file test, a request."""

import json

import numpy as np

from kerasae_lessons.exercises import Check, Exercise

_X = np.array([[1.0, 2.0], [3.0, -4.0]])
_GOLDEN = {
    "encode/in/x": _X,
    "encode/out/code": 2 * _X,
    "score/in/x": _X,
    "score/out/feature_scores": 1e4 * _X,
    "score/out/score": np.array([1.0, 3.0]),
    "detect_at_rate/in/x": _X,
    "detect_at_rate/in/rate": np.array(0.5),
    "detect_at_rate/out/p_value": np.array([0.5, 0.25]),
    "detect_at_rate/out/is_anomaly": np.array([False, True]),
}


def _server(**changed):
    """A server with the golden answers, but for outputs given as SIGNATURE__NAME."""

    def call(signature, inputs):
        wanted = {k.split("/")[2] for k in _GOLDEN if k.startswith(f"{signature}/in/")}
        if set(inputs) != wanted:
            raise ValueError(f"{signature} takes {sorted(wanted)}. Received: {sorted(inputs)}")
        outputs = {}
        for key, value in _GOLDEN.items():
            owner, side, name = key.split("/")
            if owner == signature and side == "out":
                outputs[name] = changed.get(f"{signature}__{name}", value)
        return {name: value for name, value in outputs.items() if value is not None}

    return call


def _fails(f, **changed):
    return list(f(dict(_GOLDEN), _server(**changed)))


def _test(golden, call, allowed=lambda gold: 1e-5 * max(1.0, np.abs(gold).max()), bad=None):
    bad = bad or (lambda apart, most: not apart.max() <= most)
    found = []
    for key, gold in golden.items():
        signature, side, name = key.split("/")
        if side == "out":
            given = {
                k.split("/")[2]: v for k, v in golden.items() if k.startswith(f"{signature}/in/")
            }
            answer = call(signature, given).get(name)
            answer = np.asarray(np.nan if answer is None else answer, float)
            if np.shape(answer) != gold.shape or bad(np.abs(answer - gold), allowed(gold)):
                found.append(f"{signature}/{name}")
    return sorted(found)


def _first_value_only(golden, call):
    return _test(golden, call, bad=lambda apart, most: not apart.ravel()[0] <= most)


_KINDS = {"uint8": "UINT8", "float32": "FP32", "int64": "INT64"}


def _request(inputs, flat=True, kind=lambda a: _KINDS[a.dtype.name], shape=lambda a: a.shape):
    tensors = [
        {
            "name": name,
            "shape": list(shape(a)),
            "datatype": kind(a),
            "data": a.ravel().tolist() if flat else list(a.ravel()),
        }
        for name, a in inputs.items()
    ]
    return {"inputs": tensors}


_IMAGES = np.arange(12, dtype="uint8").reshape(2, 3, 2)
_RATE = np.array([0.25], "float32")


def _sent(f):
    """What arrives: the body as JSON makes it, tensors by name."""
    body = json.loads(json.dumps(f({"x": _IMAGES.copy(), "false_alarm_rate": _RATE.copy()})))
    return {tensor["name"]: tensor for tensor in body["inputs"]}


EXERCISES = [
    Exercise(
        "10.1",
        [
            Check(
                "gives '2' for ['1', '2']",
                lambda f: f(["1", "2"]) == "2",
                ["Return the name, a string, of the highest number."],
            ),
            Check(
                "gives '10' for ['9', '10', '2']",
                lambda f: f(["9", "10", "2"]) == "10",
                ["As text '9' is after '10'. Compare numbers: max(..., key=int)."],
            ),
            Check(
                "passes over what is no whole number",
                lambda f: f(["3", ".incoming-7", "new", "4.5", "12b"]) == "3",
                ["Only digits count as a version: str.isdecimal."],
            ),
        ],
        wrong={
            "the last name": lambda names: names[-1],
            "by text": lambda names: max(n for n in names if n.isdecimal()),
            "the longest": lambda names: max((n for n in names if n.isdecimal()), key=len),
            "a number": lambda names: max(int(n) for n in names if n.isdecimal()),
            "digits anywhere": lambda names: max(
                names, key=lambda n: int("".join(c for c in n if c.isdigit()) or 0)
            ),
        },
    ),
    Exercise(
        "10.2",
        [
            Check(
                "returns an empty list for a server with the golden answers",
                lambda f: _fails(f) == [],
                [
                    "Keys are SIGNATURE/side/NAME; a signature's inputs have its name and 'in'.",
                    "call(signature, inputs) takes all inputs of it, and answers by output name.",
                ],
            ),
            Check(
                "names an output whose last value is off by 0.001",
                lambda f: _fails(f, encode__code=2 * _X + [[0, 0], [0, 1e-3]]) == ["encode/code"],
                ["Look at the largest difference over all values."],
            ),
            Check(
                "allows round-off, relative to the largest magnitude of the output",
                lambda f: (
                    _fails(f, score__feature_scores=1e4 * _X + 0.1) == []
                    and _fails(f, score__score=np.array([1.0, 3.1])) == ["score/score"]
                ),
                ["allowed = 1e-5 * max(1, largest magnitude of gold)"],
            ),
            Check(
                "names outputs that are missing, NaN, or of another shape, in order",
                lambda f: (
                    _fails(
                        f,
                        score__score=np.array([1.0, np.nan]),
                        detect_at_rate__p_value=None,
                        encode__code=2 * _X[:1],
                    )
                    == ["detect_at_rate/p_value", "encode/code", "score/score"]
                ),
                [
                    "Compare the shapes first: NumPy would broadcast (1, 2) to (2, 2).",
                    "NaN > allowed is false. Ask whether it is within: not d <= allowed.",
                ],
            ),
        ],
        wrong={
            "never fails": lambda golden, call: [],
            "NaN passes": lambda golden, call: _test(golden, call, bad=lambda d, m: d.max() > m),
            "absolute tolerance": lambda golden, call: _test(golden, call, lambda gold: 1e-5),
            "equal bits": lambda golden, call: _test(golden, call, lambda gold: 0.0),
            "the first value only": _first_value_only,
            "a hundred times too lenient": lambda golden, call: _test(
                golden, call, lambda gold: 1e-3 * max(1.0, np.abs(gold).max())
            ),
        },
    ),
    Exercise(
        "10.3",
        [
            Check(
                "has one entry per array, under 'inputs', and survives JSON",
                lambda f: sorted(_sent(f)) == ["false_alarm_rate", "x"],
                [
                    '{"inputs": [{"name": ..., "shape": ..., "datatype": ..., "data": ...}]}',
                    "json cannot write NumPy's numbers: array.tolist() gives Python's.",
                ],
            ),
            Check(
                "gives the shape with the batch",
                lambda f: _sent(f)["x"]["shape"] == [2, 3, 2],
                ["list(array.shape)"],
            ),
            Check(
                "names the datatypes as the protocol does",
                lambda f: (
                    [_sent(f)[n]["datatype"] for n in ("x", "false_alarm_rate")]
                    == ["UINT8", "FP32"]
                ),
                ["uint8 is UINT8, float32 is FP32, int64 is INT64."],
            ),
            Check(
                "sends the values in order, flat or nested",
                lambda f: np.array_equal(np.ravel(_sent(f)["x"]["data"]), np.arange(12)),
                ["array.ravel().tolist()"],
            ),
        ],
        wrong={
            "NumPy's numbers": lambda inputs: _request(inputs, flat=False),
            "datatypes of NumPy": lambda inputs: _request(inputs, kind=lambda a: a.dtype.name),
            "shape without the batch": lambda inputs: _request(inputs, shape=lambda a: a.shape[1:]),
            "everything a float": lambda inputs: _request(inputs, kind=lambda a: "FP32"),
            "a dictionary by name": lambda inputs: {
                "inputs": {name: a.tolist() for name, a in inputs.items()}
            },
        },
    ),
]
