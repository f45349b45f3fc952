from helpers.toy import read_metrics, toy_fit
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only

from nested_lightning.callbacks import RunCheckpoint
from nested_lightning.loggers import RunCSVLogger


def test_one_file_in_the_folder_of_the_run(tmp_path):
    logger = RunCSVLogger(str(tmp_path / "run"))
    logger.log_metrics({"a": 1.0}, step=0)
    logger.log_metrics({"a": 0.5, "b": 2.0}, step=1)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["metrics.csv"]
    assert read_metrics(tmp_path / "run") == [{"a": "1.0", "b": "", "step": "0"}, {"a": "0.5", "b": "2.0", "step": "1"}]


def test_a_second_logger_goes_on_with_the_file(tmp_path):
    RunCSVLogger(str(tmp_path)).log_metrics({"a": 1.0}, step=0)
    again = RunCSVLogger(str(tmp_path))
    again.log_metrics({"b": 2.0}, step=1)
    again.log_metrics({"a": 3.0}, step=2)
    assert [(row["step"], row["a"], row["b"]) for row in read_metrics(tmp_path)] == [
        ("0", "1.0", ""),
        ("1", "", "2.0"),
        ("2", "3.0", ""),
    ]


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    RunCSVLogger(tmp_path / "run").log_metrics({"a": 1.0}, step=0)
    assert not (tmp_path / "run").exists()


def test_an_empty_file_is_begun(tmp_path):
    (tmp_path / "metrics.csv").touch()
    RunCSVLogger(str(tmp_path)).log_metrics({"a": 1.0}, step=0)
    assert read_metrics(tmp_path) == [{"a": "1.0", "step": "0"}]


def test_half_a_row_of_a_killed_process_is_removed(tmp_path):
    RunCSVLogger(tmp_path).log_metrics({"a": 1.0}, step=0)
    with open(tmp_path / "metrics.csv", "a") as file:
        file.write("1,0.")
    RunCSVLogger(tmp_path).log_metrics({"a": 2.0}, step=1)
    assert read_metrics(tmp_path) == [{"step": "0", "a": "1.0"}, {"step": "1", "a": "2.0"}]


def test_a_resumed_run_keeps_its_rows(tmp_path):
    def fit(max_epochs, *callbacks, **resume):
        logger = RunCSVLogger(str(tmp_path))
        toy_fit(tmp_path, RunCheckpoint(), *callbacks, max_epochs=max_epochs, logger=logger, **resume)

    class More(Callback):
        def on_train_epoch_end(self, trainer, module):
            module.log("more", 1.0)

    fit(2)
    before = read_metrics(tmp_path)
    fit(3, More(), ckpt_path="last")
    after = read_metrics(tmp_path)
    assert [{k: v for k, v in row.items() if k in before[0]} for row in after[: len(before)]] == before
    assert {float(row["epoch"]) for row in after[len(before) :]} == {2}
    assert [row["more"] for row in after].count("1.0") == 1
    assert len({row["val/loss"] for row in after} - {""}) == 3
