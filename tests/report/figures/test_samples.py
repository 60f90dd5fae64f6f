"""Kind and range of samples follow their shape and their values."""

import numpy as np
import pytest

from kerasae.report.figures import samples


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([3, 9], np.uint8), (0, 255)),
        (np.array([0.2, 0.7]), (0, 1)),
        (np.array([-1.0, 3.0]), (-1, 3)),
        (np.array([5.0, 5.0]), (5, 6)),
    ],
)
def test_value_range_follows_the_data(array, expected):
    assert samples.span_of(array, None) == expected
    assert samples.span_of(array, (0, 16)) == (0, 16)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((2, 28, 28), "image"),
        ((2, 16, 24, 3), "image"),
        ((2, 140), "series"),
        ((2, 140, 1), "series"),
        ((2, 140, 3), "series"),
        ((2, 10), "table"),
    ],
)
def test_kind_follows_the_shape(shape, kind):
    assert samples.kind_of(np.zeros(shape), None) == kind


@pytest.mark.parametrize(
    ("shape", "kind"), [((2, 8), "image"), ((2, 8, 8, 1), "series"), ((2, 8, 8), "table")]
)
def test_a_kind_that_does_not_fit_the_shape_is_refused(shape, kind):
    with pytest.raises(ValueError, match=rf"kind '{kind}' has .* axes\. Received: shape="):
        samples.kind_of(np.zeros(shape), kind)


def test_five_axes_are_of_no_kind():
    with pytest.raises(ValueError, match=r"kind 'image' has 3 or 4 axes"):
        samples.kind_of(np.zeros((2, 8, 8, 8, 8)), None)


def test_a_table_in_like_units_keeps_them():
    assert samples.table_scale(np.array([[0.0, 0.0], [1.0, 20.0]])) is None
    scale = samples.table_scale(np.array([[0.0, 5.0], [1.0, 26.0]]))
    np.testing.assert_allclose(scale(np.array([0.5, 47.0])), [0.5, 2.0])
