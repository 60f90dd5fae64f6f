import numpy as np
import pytest

from kerasae.data.rows import as_labels, as_rows, as_table, rebatch


def test_rebatch_keeps_order_and_values():
    pieces = [np.arange(n)[:, None] + start for n, start in ((3, 0), (0, 3), (10, 3), (1, 13))]
    batches = list(rebatch(pieces, 4))
    assert [len(batch) for batch in batches] == [4, 4, 4, 2]
    np.testing.assert_array_equal(np.concatenate(batches)[:, 0], np.arange(14))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint16, np.float16, np.float64])
def test_other_numbers_become_float32(dtype):
    x = as_rows(np.array([[0, 1], [1, 0]], dtype), "x")
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("value", "shown"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf"), (1e39, "1e\\+39")]
)
def test_the_first_offender_is_named(value, shown):
    x = np.zeros((4, 3))
    x[2, 1] = x[3, 0] = value
    with pytest.raises(ValueError, match=f"'x' holds {shown} in row 12, column 1 .*source='x'"):
        as_rows(x, "x", first_row=10)


def test_opposite_infinities_do_not_cancel():
    with pytest.raises(ValueError, match="row 0, column 0"):
        as_rows(np.array([[np.inf, -np.inf]]), "x")


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (np.zeros(()), "must have one row per sample.*shape \\(\\)"),
        (np.zeros(5), r"must have one row per sample.*x\[:, None\]"),
        (np.zeros((0, 3)), "must not be empty"),
        (np.zeros((3, 0)), "must not be empty"),
        (np.array([[1], [1, 2]], object), "Python objects"),
        (np.array([["a"]]), "holds text"),
        (np.zeros((2, 2), complex), "complex128 values"),
        (np.zeros((2, 2), "datetime64[s]"), "datetime64"),
        (np.ma.masked_equal([[1, 2]], 2), "masked"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(x, sentence):
    with pytest.raises(ValueError, match=f"{sentence}.*Received: source='it'"):
        as_table(x, "it")


def test_labels():
    numbers, names = as_labels(np.array([3, 1, 3]), "x", 3)
    assert numbers.tolist() == [3, 1, 3]
    assert names is None
    numbers, names = as_labels(np.array(["cat", "ant", "cat"]), "x", 3)
    assert numbers.tolist() == [1, 0, 1]
    assert names == ["ant", "cat"]
    assert as_labels(np.array([[2.0], [0.0]]), "x", 2)[0].tolist() == [2, 0]
    assert as_labels(np.array(["7", "-1"]), "x", 2)[0].tolist() == [7, -1]
    assert as_labels(np.array([True, False]), "x", 2)[0].tolist() == [1, 0]


def test_labels_that_will_not_do_are_refused():
    with pytest.raises(ValueError, match=r"has 3 samples and labels of shape \(2,\)"):
        as_labels(np.array([1, 2]), "x", 3)
    with pytest.raises(ValueError, match=r"whole numbers or text.*0.5"):
        as_labels(np.array([0.5, 1.0]), "x", 2)
    with pytest.raises(ValueError, match="whole numbers or text"):
        as_labels(np.array([1.0, np.nan]), "x", 2)
