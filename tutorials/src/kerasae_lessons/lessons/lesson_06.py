"""Exercises of lesson 06: sizes, receptive fields, overlaps of transposed convolutions."""

import numpy as np

from kerasae_lessons.exercises import Check, Exercise, close


def _placed(size, kernel, stride, padding):
    """Count the places of a window, one by one."""
    if padding == "same":
        return len(range(0, size, stride))
    return len([start for start in range(0, size, stride) if start + kernel <= size])


_CASES = [(28, 4, 2), (28, 3, 2), (7, 4, 2), (11, 5, 3), (9, 9, 1), (13, 2, 4)]


def _agrees(f, padding):
    return all(f(*case, padding) == _placed(*case, padding) for case in _CASES)


_STACKS = [
    [(3, 1), (3, 1)],
    [(4, 2), (4, 2)],
    [(7, 4), (1, 1), (3, 2), (4, 3)],
    [(2, 2), (2, 2), (2, 2)],
]


def _seen(layers):
    """Trace the pixels that a far cell sees, layer by layer, and how far its neighbour is off."""
    first, last, steps = 1000, 1000, 1
    for kernel, stride in reversed(layers):
        first, last = first * stride, last * stride + kernel - 1
        steps *= stride
    return last - first + 1, steps


def _formula(layers, last_too=False):
    field, step = 1, 1
    for kernel, stride in layers:
        step *= stride if last_too else 1
        field += (kernel - 1) * step
        step *= 1 if last_too else stride
    return field, step


def _counts(cells, kernel, stride):
    pixels = (cells - 1) * stride + kernel
    return [
        sum(stride * cell <= pixel < stride * cell + kernel for cell in range(cells))
        for pixel in range(pixels)
    ]


EXERCISES = [
    Exercise(
        "6.1",
        [
            Check(
                'counts the windows that fit without zeros, padding "valid"',
                lambda f: _agrees(f, "valid"),
                [
                    "The first window starts at 0, the last at most at size - kernel.",
                    "(size - kernel) // stride + 1",
                ],
            ),
            Check(
                'rounds size / stride up for padding "same"',
                lambda f: _agrees(f, "same"),
                ["The kernel does not matter there.", "-(-size // stride) rounds up."],
            ),
        ],
        wrong={
            "one too few": lambda n, k, s, p: -(-n // s) if p == "same" else (n - k) // s,
            "same rounded down": lambda n, k, s, p: n // s if p == "same" else (n - k) // s + 1,
            "same keeps the size": lambda n, k, s, p: n if p == "same" else (n - k) // s + 1,
            "stride before the kernel": lambda n, k, s, p: (
                -(-n // s) if p == "same" else n // s - k + 1
            ),
            "padding ignored": lambda n, k, s, p: (n - k) // s + 1,
        },
    ),
    Exercise(
        "6.2",
        [
            Check(
                "adds up kernels where no layer strides: 5 pixels for two kernels of 3",
                lambda f: tuple(f(_STACKS[0])) == (5, 1),
                ["A second kernel of 3 sees one more cell on either side."],
            ),
            Check(
                "multiplies the strides",
                lambda f: all(f(layers)[1] == _seen(layers)[1] for layers in _STACKS),
                ["Two strides of 2 make a step of 4 pixels."],
            ),
            Check(
                "counts a cell of an inner layer by the pixels it stands for",
                lambda f: all(tuple(f(layers)) == _seen(layers) for layers in _STACKS),
                [
                    "After a layer of stride 2 the next kernel reaches 2 pixels further per cell.",
                    "Keep two numbers: the field, from 1, and the step, from 1. Each layer adds "
                    "(kernel - 1) * step.",
                    "Only then multiply the step by the layer's own stride.",
                ],
            ),
        ],
        wrong={
            "strides ignored": lambda layers: (
                1 + sum(k - 1 for k, _ in layers),
                int(np.prod([s for _, s in layers])),
            ),
            "own stride first": lambda layers: _formula(layers, last_too=True),
            "sum of kernels": lambda layers: (
                sum(k for k, _ in layers),
                int(np.prod([s for _, s in layers])),
            ),
            "strides added": lambda layers: (_formula(layers)[0], sum(s for _, s in layers)),
            "read from the end": lambda layers: _formula(layers[::-1]),
            "off by one": lambda layers: (_formula(layers)[0] - 1, _formula(layers)[1]),
        },
    ),
    Exercise(
        "6.3",
        [
            Check(
                "has one number per pixel",
                lambda f: np.shape(f(5, 3, 2)) == (11,),
                ["There are (cells - 1) * stride + kernel pixels."],
            ),
            Check(
                "alternates between 1 and 2 for kernel 3 and stride 2",
                lambda f: close(f(5, 3, 2), _counts(5, 3, 2)),
                [
                    "Cell i lies on the pixels from i * stride, kernel of them.",
                    "counts[i * stride : i * stride + kernel] += 1, for each cell.",
                ],
            ),
            Check(
                "is right for other kernels and strides too",
                lambda f: all(
                    close(f(*case), _counts(*case)) for case in ((6, 6, 3), (4, 8, 3), (3, 2, 2))
                ),
                ["Loop over the cells and let slices overlap."],
            ),
        ],
        wrong={
            "kernel over stride everywhere": lambda c, k, s: np.full((c - 1) * s + k, k / s),
            "kernels end to end": lambda c, k, s: np.ones((c - 1) * s + k),
            "kernel and stride exchanged": lambda c, k, s: np.array(_counts(c, s, k)),
            "cropped": lambda c, k, s: np.array(_counts(c, k, s))[: c * s],
            "cells of 2 pixels only": lambda c, k, s: np.array(
                [min(2, n) for n in _counts(c, k, s)]
            ),
        },
    ),
]
