"""Measure what the figures of a run cost by training the same run with and without them, in pairs.

The two runs of a pair follow each other, with ``--figures.draw stages`` and ``--figures.draw never``. Which comes first
alternates, so that other load on the machine affects both alike; CPU time does not depend on it.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time


def main(args: list[str]) -> None:
    """Print wall and CPU time of every run, and the cost of figures in percent for each pair and in the median."""
    parser = argparse.ArgumentParser("python -m benchmarks.speed figures", description=__doc__)
    parser.add_argument("--pairs", type=int, default=3, help="pairs of runs (default: %(default)s)")
    parser.epilog = "All other options are those of `lightning fit`."
    options, fit = parser.parse_known_args(args)
    costs: dict[str, list[float]] = {"wall": [], "CPU": []}
    for pair in range(options.pairs):
        order = ("stages", "never") if pair % 2 else ("never", "stages")
        times = {draw: time_run(draw, fit) for draw in order}
        for i, kind in enumerate(costs):
            costs[kind].append(100 * (times["stages"][i] / times["never"][i] - 1))
        shown = "; ".join(f"{draw} {wall:.1f} s wall, {cpu:.1f} s CPU" for draw, (wall, cpu) in times.items())
        cost = ", ".join(f"{of_pairs[-1]:+.1f} % {kind}" for kind, of_pairs in costs.items())
        print(f"pair {pair + 1}: {shown}; cost {cost}", flush=True)
    for kind, of_pairs in costs.items():
        print(f"{kind}: {statistics.median(of_pairs):+.1f} % in the median of {options.pairs} pairs")


def time_run(draw: str, fit: list[str]) -> tuple[float, float]:
    """Train once in a process of its own and return the seconds of wall and of CPU time that it took."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as root:
        command = [sys.executable, "-m", "nested_lightning", "fit", *fit, "--figures.draw", draw]
        command += ["--trainer.default_root_dir", root]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
        wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, sum(getattr(after, t) - getattr(before, t) for t in ("ru_utime", "ru_stime"))
