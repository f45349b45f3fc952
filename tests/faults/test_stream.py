"""Stream the example of docs/scaling.md in two processes: each reads its own rows, and the metrics count all rows."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest
from helpers.killed_run import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ROWS = {"table.parquet": 180, "species.parquet": 51}
TREE = "levels: [kind, family, species]\ntree: {animal: {bird: [owl], fish: [cod]}, stone: }\n"
LEAVES = [("animal", "bird", "owl"), ("animal", "fish", "cod"), ("stone", None, None)]
SHORT = {
    "CascadeTraining()": "CascadeTraining(max_epochs=2)",
    "RejectionFineTuning()": "RejectionFineTuning(steps=3)",
    "L.Trainer(": "L.Trainer(accelerator='cpu', devices=2, strategy='ddp', enable_progress_bar=False, ",
}
RECORD = f"""
import json
from pathlib import Path

read = {{name: [int(row["number"]) for row in trainer.datamodule.rows(name)] for name in {list(ROWS)}}}
measured = int(model.evaluation.measured.metrics.risks[0].sum())
record = {{"read": read, "steps": trainer.global_step, "measured": measured, "after": model.evaluation.after}}
Path(f"{{trainer.global_rank}}.json").write_text(json.dumps(record))
"""


def example() -> str:
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    (code,) = (
        c for c in re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE) if "streaming=True" in c
    )
    for written, short in SHORT.items():
        assert written in code
        code = code.replace(written, short)
    return code + RECORD


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "animals.yaml").write_text(TREE)
    for name, n in ROWS.items():
        labels = dict(zip(("kind", "family", "species"), zip(*(LEAVES * n)[:n], strict=True), strict=True))
        pixels = np.random.default_rng(0).random((n, 64))
        datasets.Dataset.from_dict({"number": range(n), "pixels": pixels, **labels}).to_parquet(tmp_path / name)
    (tmp_path / "stream.py").write_text(example())
    return tmp_path


def test_rows_are_read_once(project: Path) -> None:
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}", "stream.py"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HF_HOME": str(project / "hub")}
    done = subprocess.run(
        [sys.executable, *torchrun], cwd=project, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    one, two = (json.loads((project / f"{rank}.json").read_text()) for rank in (0, 1))
    for name, n in ROWS.items():
        assert sorted(one["read"][name] + two["read"][name]) == list(range(n))
        assert abs(len(one["read"][name]) - len(two["read"][name])) <= 1
    assert one["measured"] == two["measured"] == ROWS["species.parquet"]
    assert one["after"] == two["after"]
    assert one["steps"] == two["steps"] == 3 * 2 * 5
