"""Lines where there is no terminal, and a bar where there is one."""

import io
import re
import sys
from types import SimpleNamespace

import torch
from helpers.commands import SHORT
from helpers.toy import toy_fit

from nested_lightning.callbacks import CascadeTraining, RejectionFineTuning, StageProgress, TemperatureScaling
from nested_lightning.utils import console as terminal
from nested_lightning.utils.console import duration, on_terminal

FIT = ["fit", "--config=recipes/digits.yaml", *SHORT, "--trainer.accelerator=cpu"]


def lines(capsys, tmp_path, *callbacks, **options):
    toy_fit(tmp_path, *callbacks, StageProgress(), enable_progress_bar=True, **options)
    return [line.split(" | ") for line in capsys.readouterr().out.splitlines()]


def test_a_line_per_epoch_with_the_time_left(capsys, tmp_path, monkeypatch):
    ticks = iter(range(0, 10_000, 30))
    clock = SimpleNamespace(monotonic=lambda: next(ticks))
    monkeypatch.setattr("nested_lightning.callbacks.progress.time", clock)
    shown = lines(capsys, tmp_path, CascadeTraining(max_epochs=[3, 2, 4], patience=5))
    stages = ["1/3 kind"] * 3 + ["2/3 group"] * 2 + ["3/3 leaf"] * 4
    assert [line[0] for line in shown] == [f"stage {stage}" for stage in stages]
    assert [line[1] for line in shown[:4]] == [f"epoch {n} of at most {m}" for n, m in ((1, 3), (2, 3), (3, 3), (1, 2))]
    # An epoch takes half a minute, the time between two looks at the clock.
    for left, line in zip(range(8, 0, -1), shown, strict=False):
        assert line[-1] == f"at most {duration(left * 30)}"
    assert "at most" not in shown[-1][-1]


def test_best_loss_and_patience(capsys, tmp_path):
    shown = lines(capsys, tmp_path, CascadeTraining(stages=[-1], max_epochs=6, learning_rate=1.0, patience=9))
    losses = [float(next(c for c in line if c.startswith("val/loss")).split()[1]) for line in shown]
    bad, best = 0, float("inf")
    assert min(losses[1:]) < losses[0] or min(losses) == losses[0]
    for line, loss in zip(shown[:-1], losses, strict=False):
        bad, best = (0, loss) if loss < best else (bad + 1, best)
        assert f"best {best:.4f}" in line
        assert f"patience {9 - bad} of 9" in line
    assert bad > 0, "no epoch of this test was worse than the one before"


def test_without_a_cascade_there_is_an_epoch_and_no_guess(capsys, tmp_path):
    (first, _) = lines(capsys, tmp_path, max_epochs=2)
    assert first[0] == "epoch 1"
    assert not [cell for cell in first if cell.startswith(("at most", "patience", "best"))]


def test_no_bar_is_asked_for(capsys, tmp_path):
    toy_fit(tmp_path, CascadeTraining(max_epochs=1), RejectionFineTuning(steps=2), TemperatureScaling())
    assert capsys.readouterr().out == ""


def test_detecting_a_terminal(monkeypatch):
    class Tty(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert not on_terminal()
    monkeypatch.setattr(sys, "stdout", Tty())
    monkeypatch.setenv("TERM", "xterm")
    assert on_terminal()
    monkeypatch.setenv("TERM", "dumb")
    assert not on_terminal()


def test_steps_pass_through(capsys):
    assert list(terminal.tracked(range(3), 3, "three")) == [0, 1, 2]
    assert capsys.readouterr().out == ""


def test_on_a_terminal_ctrl_c_saves_and_says_how_to_resume(server, tmp_path):
    run, log = tmp_path / "run", tmp_path / "log"
    args = [*FIT, "--cascade.max_epochs=40", f"--trainer.default_root_dir={run}"]
    code = server.run(args, log, at="epoch 3 of at most 40", keys="\x03")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", log.read_text())
    assert code == 130, shown
    assert "Traceback" not in shown
    assert "\x1b[" in log.read_text(), "nothing is drawn on the terminal"
    last = run / "checkpoints" / "last.ckpt"
    (message,) = [line for line in shown.splitlines() if "Interrupted" in line]
    assert f"{last} is saved" in message
    assert message.rstrip().endswith(f" {' '.join(args)} --ckpt_path last")
    saved = torch.load(last, weights_only=True)
    assert saved["callbacks"]["CascadeTraining"]["epochs_in_all"] >= 2
    # As it says, the same arguments resume the run; this time to the end, with calibration on the terminal.
    ended = server.run([*args, "--cascade.max_epochs=3", "--ckpt_path=last"], log, at="never", keys="x")
    shown = log.read_text()
    assert ended == 0, shown
    assert "epoch 1 of at most 3" not in shown.partition("stage 2/3")[0]
    for part in ("stage 3/3 fine", "rejection, coarse", "samples through the network", "patience"):
        assert part in shown
