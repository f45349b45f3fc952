"""Mean and spread of the test figures of finished runs, as a Markdown table.

Example:
    for seed in 1 2 3; do lightning fit --config recipes/mnist.yaml --data.source DIR --seed_everything $seed \
        --trainer.default_root_dir runs/mnist-$seed; done
    python benchmarks/summary.py runs/mnist-1 runs/mnist-2 runs/mnist-3
"""

import argparse
import csv
import statistics
from pathlib import Path


def final_figures(run: Path) -> dict[str, float]:
    """Return what the end of a run logged under ``test/``, in percent."""
    with open(run / "metrics.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("test/path/accuracy")]
    if not rows:
        raise SystemExit(f"{run}/metrics.csv has no test figures: the run is not finished, or has no test rows")
    return {
        key: 100 * float(value)
        for key, value in rows[-1].items()
        if value and key.startswith(("test/", "uncalibrated/test/"))
    }


def table(runs: list[Path]) -> str:
    """Return one row per level: accuracy, confidence and ECE after calibration, ECE before it, and the gap."""
    figures = [final_figures(run) for run in runs]
    levels = [key.split("/")[1] for key in figures[0] if key.startswith("test/") and key.endswith("/ece")]

    def cell(values: list[float]) -> str:
        spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        return f"{statistics.mean(values):.2f}{spread}"

    lines = ["| level | accuracy | confidence | ECE | ECE before calibration |", "|---|---|---|---|---|"]
    order = sorted(levels, key=lambda level: -statistics.mean(f[f"test/{level}/accuracy"] for f in figures))
    for level in order:
        keys = [f"test/{level}/{name}" for name in ("accuracy", "confidence", "ece")]
        keys.append(f"uncalibrated/test/{level}/ece")
        lines.append(f"| {level} | " + " | ".join(cell([f[key] for f in figures]) for key in keys) + " |")
    path = cell([f["test/path/accuracy"] for f in figures])
    inconsistent = cell([f["test/path/inconsistency"] for f in figures])
    lines.append(f"\n{len(runs)} run(s); full path {path} %, inconsistent {inconsistent} %")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of finished runs")
    print(table(parser.parse_args().runs))
