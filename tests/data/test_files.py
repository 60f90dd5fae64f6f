import numpy as np
import pytest

import kerasae.data


def test_paths_that_will_not_do(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"Received: '.*data\.csv'"):
        kerasae.data.load(tmp_path / "data.csv")
    (tmp_path / "date.csv").write_text("a\n1\n")
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'date\.csv'"):
        kerasae.data.load(str(tmp_path / "data.csv"))
    (tmp_path / "x.xlsx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"Received: source='.*x\.xlsx'"):
        kerasae.data.load(tmp_path / "x.xlsx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"'empty'.*Received: source="):
        kerasae.data.load(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match=r"file or folder\. Received"):
        kerasae.data.load(tmp_path / "z.csv")  # an equal suffix makes no two names alike
    (tmp_path / "mixed").mkdir()
    for name in ("b.csv", "a.parquet", "notes.txt"):
        (tmp_path / "mixed" / name).write_text("a\n1\n")
    for read in (kerasae.data.load, kerasae.data.batches):
        with pytest.raises(ValueError, match=r"'a\.parquet' and 'b\.csv'.*Received: source="):
            read(tmp_path / "mixed")
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"columns=\['a'\]"):
        kerasae.data.load(path, columns=["a"])
    with pytest.raises(ValueError, match="label='a'"):
        kerasae.data.load(path, label="a")
    with pytest.raises(ValueError, match=r"size=\(2, 2\)"):
        kerasae.data.load(path, size=(2, 2))
    with pytest.raises(ValueError, match="batch_size=0"):
        kerasae.data.batches(path, batch_size=0)


def test_batches_stream_in_file_order(tmp_path):
    path, x = tmp_path / "x.npy", np.random.default_rng(0).normal(size=(300, 4)).astype("float32")
    np.save(path, np.asfortranarray(x))
    batches = list(kerasae.data.batches(path, batch_size=128))
    assert [len(batch) for batch in batches] == [128, 128, 44]
    np.testing.assert_array_equal(np.concatenate(batches), x)
