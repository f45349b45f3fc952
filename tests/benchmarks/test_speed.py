"""The benchmarks of speed run on small problems."""

import pytest

from benchmarks.speed import temperature


def test_search_for_temperatures(capsys: pytest.CaptureFixture[str]) -> None:
    for method in ("ece_grid", "nll"):
        temperature.main(["--leaves", "30", "1100", "--samples", "50", "--method", method])
        printed = capsys.readouterr().out
        assert f"{method}, 50 samples" in printed
        assert "30 leaves: " in printed and "1100 leaves: " in printed and "s CPU, peak memory" in printed
