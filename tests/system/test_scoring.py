"""Commands on files that are killed."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from pyarrow import parquet as pq

import kerasae
from kerasae import scoring


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_kill_loses_the_current_file_only(tmp_path):
    ae = kerasae.build("undercomplete", (4,), 2, hidden=(5,), seed=0)
    model, many, out = tmp_path / "model.keras", tmp_path / "in", tmp_path / "out"
    ae.save(model)
    many.mkdir()
    for i in range(3):
        x = np.random.default_rng(i).normal(size=(50 + 10 * i, 4))
        kerasae.data.write(many / f"part{i}.parquet", [x.astype("float32")])
    script = textwrap.dedent("""
        import os, signal, sys
        import kerasae
        from kerasae import data, scoring
        write = data.write
        def killed(path, batches, names=None, **more):
            def pieces():
                yield from batches
                if path.name == "part1.parquet":
                    assert list(path.parent.glob(".part1.parquet.*.part"))
                    os.kill(os.getpid(), signal.SIGKILL)
            return write(path, pieces(), names, **more)
        data.write = killed
        scoring.apply(sys.argv[1], "score", *sys.argv[2:])
    """)
    words = [sys.executable, "-c", script, str(model), str(many), str(out)]
    process = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert process.returncode == -signal.SIGKILL, process.stderr
    outputs = sorted(path.name for path in out.glob("*.parquet"))
    assert outputs == ["part0.parquet"]
    assert len(list(out.glob(".part1.parquet.*.part"))) == 1
    done = scoring.apply(model, "score", many, out, resume=True)
    assert done == scoring.Applied(rows=180, files=3, skipped=1, anomalies=None)
    assert not list(out.glob(".part*"))
    assert [pq.read_metadata(out / f"part{i}.parquet").num_rows for i in range(3)] == [50, 60, 70]
    journals = sorted(out.glob(".kerasae-batch.*.jsonl"), key=lambda p: p.stat().st_mtime_ns)
    lines = [json.loads(line) for path in journals for line in path.read_text().splitlines()]
    assert [line["found"]["rows"] for line in lines] == [50, 60, 70]
