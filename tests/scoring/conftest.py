"""A calibrated model and files for it."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

import kerasae

COLUMNS = ["a", "b", "c", "d"]


def rows(n, seed):
    return np.random.default_rng(seed).normal(3, 2, (n, 4)).astype("float32")


def table(x, **more):
    return pa.table({**more, **dict(zip(COLUMNS, x.T, strict=True))})


@pytest.fixture(scope="module")
def judge():
    ae = kerasae.build("undercomplete", (4,), 2, hidden=(5,), seed=0)
    ae.calibrate(rows(300, 5), 0.05)
    return ae


@pytest.fixture(scope="module")
def model(judge, tmp_path_factory):
    """The path of a calibrated model, not to be changed."""
    path = tmp_path_factory.mktemp("model") / "judge.keras"
    judge.save(path)
    return path


@pytest.fixture
def many(tmp_path):
    """A folder of three Parquet files of 50, 60 and 70 rows."""
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(3):
        n = 50 + 10 * i
        ids = pa.array([f"{i}-{j}" for j in range(n)])
        pq.write_table(table(rows(n, i), id=ids), folder / f"part{i}.parquet")
    return folder
