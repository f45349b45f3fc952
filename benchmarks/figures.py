"""What the figures of a run cost: ``python -m benchmarks.figures FIT_OPTIONS...``, paired runs with and without them.

``--pairs N`` comes first. Each pair trains the same twice, one after the other, with ``--figures.draw stages`` and with
``never``; which comes first alternates, so that what else the machine does falls on both alike. CPU time does not
depend on it.
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
    """Print wall and CPU time of every run, and the cost of figures in percent by pair and in the median."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figures", description=__doc__)
    parser.add_argument("--pairs", type=int, default=3, help="pairs of runs (3)")
    options, fit = parser.parse_known_args(args)
    costs: dict[str, list[float]] = {"wall": [], "CPU": []}
    for pair in range(options.pairs):
        order = ("stages", "never") if pair % 2 else ("never", "stages")
        times = {draw: timed(draw, fit) for draw in order}
        for i, kind in enumerate(costs):
            costs[kind].append(100 * (times["stages"][i] / times["never"][i] - 1))
        shown = "; ".join(f"{draw} {wall:.1f} s wall, {cpu:.1f} s CPU" for draw, (wall, cpu) in times.items())
        cost = ", ".join(f"{of_pairs[-1]:+.1f} % {kind}" for kind, of_pairs in costs.items())
        print(f"pair {pair + 1}: {shown}; cost {cost}", flush=True)
    for kind, of_pairs in costs.items():
        print(f"{kind}: {statistics.median(of_pairs):+.1f} % in the median of {options.pairs} pairs")


def timed(draw: str, fit: list[str]) -> tuple[float, float]:
    """Return the seconds of wall and of CPU time that a run takes from start to end of its process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as root:
        command = [sys.executable, "-m", "nested_lightning", "fit", *fit, "--figures.draw", draw]
        command += ["--trainer.default_root_dir", root]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
        wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, sum(getattr(after, t) - getattr(before, t) for t in ("ru_utime", "ru_stime"))


if __name__ == "__main__":
    main(sys.argv[1:])
