"""SavedModels that others may have written: looked at before TensorFlow runs anything of them.

A SavedModel is a program. TensorFlow's loader runs the parts that set up resources, and its
operations can read and write files and call Python. What `kerasae.export` writes computes on
tensors only, which is all that is let through.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# Operations with a state that no file, process or network has.
_STATEFUL = {
    "Assert",
    "AssignVariableOp",
    "Case",
    "CheckNumerics",
    "CheckNumericsV2",
    "DisableCopyOnRead",
    "If",
    "NoOp",
    "PartitionedCall",
    "ReadVariableOp",
    "ResourceGather",
    "ResourceGatherNd",
    "StatefulPartitionedCall",
    "VarHandleOp",
    "VarIsInitializedOp",
    "While",
}
# In names of operations without a state that reach outside of the graph all the same.
_OUTSIDE = ("File", "PyFunc", "Dataset", "Iterator")
# What `info` is made of: it runs when a model is loaded.
_INFO = {"Const", "Identity", "NoOp", "PartitionedCall", "StatefulPartitionedCall"}
_KINDS = {
    "user_object",
    "function",
    "bare_concrete_function",
    "variable",
    "constant",
    "captured_tensor",
}
_MOST = 2**28  # numbers in a constant


def check(folder: Path) -> None:
    """Refuse a SavedModel that could do more than compute.

    Args:
        folder: The version folder.

    Raises:
        ValueError: The sentence says what is in it.
    """
    what = beyond(folder)
    if what is not None:
        raise ValueError(
            "An exported model of kerasae computes and does nothing else; this one holds "
            f"{what}. Received: path={str(folder)!r}"
        )


def beyond(folder: Path) -> str | None:
    """Return what a SavedModel holds that could do more than compute, in words, if anything.

    Args:
        folder: The version folder.
    """
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.framework import op_def_registry

    for other in ("saved_model.cpb", "saved_model.pbtxt"):
        if (folder / other).exists():
            return f"a {other}, which kerasae.export does not write"
    # What cannot be read here is left to the loader, which says so.
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString((folder / "saved_model.pb").read_bytes())
    except Exception:
        return None
    if len(model.meta_graphs) != 1 or not model.meta_graphs[0].object_graph_def.nodes:
        return "a graph of TensorFlow 1, or several"
    graph = model.meta_graphs[0]
    if graph.asset_file_def:
        return f"the asset {graph.asset_file_def[0].filename!r}"
    for node in graph.object_graph_def.nodes:
        kind = node.WhichOneof("kind")
        if kind is not None and kind not in _KINDS:
            return f"an object of the kind {kind!r}"
    library = graph.graph_def.library.function
    functions = {f.signature.name: f.node_def for f in library}
    if len(functions) < len(library):
        return "several functions of one name"
    for name in functions:
        # TensorFlow calls functions by the names of operations, too.
        if op_def_registry.get(name) is not None:
            return f"a function with the name of the operation {name!r}"
    roots = set(graph.object_graph_def.concrete_functions)
    for node in _reachable(functions, roots):
        if not (node.op in functions or _computes(node.op)):
            return f"the operation {node.op!r}"
        if node.op == "Const" and _numbers(node.attr["value"].tensor) > _MOST:
            return f"a constant of {_numbers(node.attr['value'].tensor):,} numbers"
    for node in _reachable(functions, _functions_of(graph.object_graph_def.nodes, "info")):
        if node.op not in _INFO:
            return f"the operation {node.op!r} in its signature 'info'"
    return None


def check_info(path: Path, info: Any) -> dict[str, Any]:
    """Return what a model says of itself, if it is what `kerasae.export` writes.

    Args:
        path: Where it was found, for messages.
        info: The content of `card.json`, or of the signature `info`.

    Raises:
        ValueError: Something is missing, or of another type.
    """

    def whole(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31

    if not isinstance(info, dict):
        info = {}

    def sizes(value: Any) -> bool:
        return isinstance(value, list) and all(map(whole, value))

    def field(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and sizes(value.get("shape"))
            and value.get("dtype") in ("float32", "uint8", "int32")
            and (value.get("classes") is None or whole(value["classes"]))
            and value.get("unknown") in ("None", "nan", "-1", "-1.0")
        )

    shape = info.get("input_shape")
    further = info.get("further_inputs", {})
    # Exports of earlier versions have codes of numbers and one input.
    code = info.get("code_dtype", "float32"), info.get("code_size")
    right = {
        "variant": isinstance(info.get("variant"), str),
        "input_shape": bool(shape) and sizes(shape),
        "input_dtype": info.get("input_dtype") in ("float32", "uint8"),
        "latent_dim": whole(info.get("latent_dim")),
        "loss": isinstance(info.get("loss"), str),
        "code_shape": sizes(info.get("code_shape", [])),
        "code_dtype": code[0] == "float32" or (code[0] == "int32" and whole(code[1])),
        "further_inputs": isinstance(further, dict) and all(map(field, further.values())),
    }
    wrong = [name for name, is_right in right.items() if not is_right]
    if wrong:
        raise ValueError(
            "What a model says of itself must be as kerasae.export wrote it; it lacks "
            f"{', '.join(wrong)}. Received: path={str(path)!r}"
        )
    return info


def _functions_of(nodes: Any, signature: str) -> set[str]:
    """Return the functions behind a signature in an object graph."""

    def children(node: Any, name: str) -> list[Any]:
        return [nodes[c.node_id] for c in node.children if c.local_name == name]

    found = [f for s in children(nodes[0], "signatures") for f in children(s, signature)]
    names = {f.bare_concrete_function.concrete_function_name for f in found}
    return (names | {name for f in found for name in f.function.concrete_functions}) - {""}


def _reachable(functions: dict[str, Any], roots: Iterable[str]) -> Iterator[Any]:
    """Yield the nodes of functions and of those that they call."""
    waiting, seen = list(roots), set(roots)
    while waiting:
        for node in functions.get(waiting.pop(), ()):
            yield node
            called = {f.name for v in node.attr.values() for f in (v.func, *v.list.func)}
            # An operation that is the name of a function is a call of it, as of old.
            for name in ((called | {node.op}) & functions.keys()) - seen:
                seen.add(name)
                waiting.append(name)


def _computes(operation: str) -> bool:
    from tensorflow.python.framework import op_def_registry

    if any(word in operation for word in _OUTSIDE):
        return False
    definition = op_def_registry.get(operation)
    return definition is not None and (not definition.is_stateful or operation in _STATEFUL)


def _numbers(tensor: Any) -> int:
    return math.prod(max(0, size.size) for size in tensor.tensor_shape.dim)
