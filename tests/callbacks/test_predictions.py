import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from helpers.once import made_once
from helpers.toy import TAXONOMY, loader, rows, toy_module, toy_trainer
from torch.utils.data import DataLoader

from nested_lightning import HierarchicalDataModule, NestedLightningModule, Prediction, Taxonomy
from nested_lightning.callbacks import PredictionWriter
from nested_lightning.callbacks.predictions import prediction_columns
from nested_lightning.cli.main import main
from nested_lightning.errors import ConfigurationError, DataError, NonFiniteError

PER_LEVEL = ("{}", "{}_confidence", "{}_own", "{}_own_confidence")
COLUMNS = [column.format(level) for level in TAXONOMY.levels for column in PER_LEVEL]
COLUMNS += ["path", "path_confidence", "depth"]


def test_columns_by_hand():
    def batch(kind, group, leaf, path, depth, confidence):
        probabilities = [torch.tensor([p]) for p in (kind, group, leaf)]
        own = [p.flip(1) for p in probabilities]
        return Prediction(probabilities, own, torch.tensor([path]), torch.tensor([depth]), torch.tensor([confidence]))

    batches = [
        batch([0.75, 0.25], [0.125, 0.5, 0.25], [0, 0.125, 0.5, 0.25, 0.0], [0, 1, 2], 3, 0.5),
        batch([0.25, 0.75], [0.125, 0.25, 0.5], [0.0, 0.0, 0.25, 0.375, 0.125], [1, 2, -1], 2, 0.5),
        batch([0.25, 0.375], [0.125, 0.25, 0.25], [0.0, 0.0, 0.25, 0.375, 0.125], [-1, -1, -1], 0, 0.375),
    ]
    columns = prediction_columns(TAXONOMY, batches)
    assert list(columns) == COLUMNS
    assert columns == {
        "kind": ["a", "b", "b"],
        "kind_confidence": [0.75, 0.75, 0.375],
        "kind_own": ["b", "a", "a"],
        "kind_own_confidence": [0.75, 0.75, 0.375],
        "group": ["q", "r", "q"],
        "group_confidence": [0.5, 0.5, 0.25],
        "group_own": ["q", "p", "p"],
        "group_own_confidence": [0.5, 0.5, 0.25],
        "leaf": ["3", "4", "4"],
        "leaf_confidence": [0.5, 0.375, 0.375],
        "leaf_own": ["3", "2", "2"],
        "leaf_own_confidence": [0.5, 0.375, 0.375],
        "path": ["a/q/3", "b/r", ""],
        "path_confidence": [0.5, 0.5, 0.375],
        "depth": [3, 2, 0],
    }


def test_a_short_leaf_stands_once_in_its_path():
    tree = Taxonomy(["l1", "l2", "l3"], [("giftcard",), ("food", "tea", "green"), ("food", "tea", "black")])
    probabilities = [torch.full((4, k), 1 / k) for k in tree.sizes]
    path = torch.tensor([[0, 0, 0], [0, 0, -1], [0, -1, -1], [1, 1, 2]])
    batch = Prediction(probabilities, probabilities, path, torch.tensor([3, 2, 1, 3]), torch.ones(4))
    columns = prediction_columns(tree, [batch])
    assert columns["path"] == ["giftcard", "giftcard", "giftcard", "food/tea/black"]
    assert columns["depth"] == [3, 2, 1, 3]
    assert [tree.target(tree.find(label)) for label in columns["path"]] == [[0, 0, 0]] * 3 + [[1, 1, 2]]


def test_written_with_any_loader_in_input_order(tmp_path):
    module = toy_module(threshold=0.4)
    x, _ = rows(50, seed=4)
    predict = DataLoader(x, batch_size=16)  # inputs alone, no targets
    toy_trainer(tmp_path, PredictionWriter()).predict(module, predict)
    table = pq.read_table(tmp_path / "predictions.parquet")
    assert table.column_names == COLUMNS
    with torch.no_grad():
        prediction = module.predict(x)
    for level, p in zip(TAXONOMY.levels, prediction.probabilities, strict=True):
        torch.testing.assert_close(torch.tensor(table[f"{level}_confidence"].to_pylist()), p.max(1).values)
    assert table["depth"].to_pylist() == prediction.depth.tolist()
    assert [p.name for p in tmp_path.iterdir()] == ["predictions.parquet"]


def test_one_process_writes(tmp_path):
    trainer = toy_trainer(tmp_path, PredictionWriter(), devices=2, strategy="ddp_fork")
    with pytest.raises(ConfigurationError, match=r"trainer\.devices to 1"):
        PredictionWriter().setup(trainer, toy_module(), "predict")
    PredictionWriter().setup(trainer, toy_module(), "fit")  # only predictions are in its way


def test_inputs_that_are_no_numbers(tmp_path):
    x, _ = rows(20)
    x[7, 2] = float("nan")
    with pytest.raises(NonFiniteError, match=r"the input is not finite.*batch 1.*samples \[3\]"):
        toy_trainer(tmp_path, PredictionWriter()).predict(toy_module(), DataLoader(x, batch_size=4))


# ------------------------------------------------------------------------ from a checkpoint alone, in a fresh process


def write_rows(path, n, seed, labelled):
    x, target = rows(n, seed=seed)
    columns = {"x": x.tolist()}
    if labelled:
        nodes = TAXONOMY.nodes(2)
        columns |= {level: [nodes[t][i] for t in target[:, 2].tolist()] for i, level in enumerate(TAXONOMY.levels)}
    pq.write_table(pa.table(columns), path)
    return x


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a trained and calibrated run of the command line on vectors with named labels."""
    return made_once(tmp_path_factory, "predictions", train)


def train(folder):
    write_rows(folder / "train.parquet", 300, 1, labelled=True)
    options = """--data.input_column=x --data.label_columns=[kind,group,leaf] --data.validation=60
        --model.backbone=torch.nn.Linear --model.backbone.in_features=6 --model.backbone.out_features=16
        --model.feature_channels=16 --model.threshold=0.6 --cascade.stage_data=all --cascade.max_epochs=3
        --rejection.steps=30 --trainer.accelerator=cpu"""
    paths = [f"--data.source={folder / 'train.parquet'}", f"--trainer.default_root_dir={folder}"]
    main(["fit", *options.split(), *paths])


def test_predict_needs_the_checkpoint_and_the_rows(run, server, tmp_path):
    x = write_rows(tmp_path / "new.parquet", 700, 2, labelled=False)  # more than a batch
    final = run / "checkpoints" / "final.ckpt"
    command = (
        f"predict --ckpt_path {final} --data.source {tmp_path / 'new.parquet'} --trainer.default_root_dir {tmp_path}"
    )
    log = tmp_path / "log"
    code = server.run([*command.split(), "--trainer.accelerator=cpu"], log, folder=str(tmp_path))
    assert code == 0, log.read_text()
    assert f"700 predictions written to {tmp_path / 'predictions.parquet'}" in log.read_text()
    table = pq.read_table(tmp_path / "predictions.parquet")
    assert table.column_names == [*COLUMNS, "source", "row"]
    assert table["row"].to_pylist() == list(range(700))
    assert set(table["source"].to_pylist()) == {str(tmp_path / "new.parquet")}
    assert not (tmp_path / "checkpoints").exists()

    # The same as in this process, from the checkpoint in plain Python.
    module = NestedLightningModule.load_from_checkpoint(final, map_location="cpu")
    with torch.no_grad():
        prediction = module.predict(x)
    check_columns(table.to_pydict(), module, prediction)


def test_columns_of_the_source_are_copied(run, tmp_path):
    new = pq.read_table(run / "train.parquet").slice(0, 5)
    pq.write_table(new.append_column("id", pa.array(["a", "b", "c", "d", "e"])), tmp_path / "new.parquet")
    command = ["predict", f"--ckpt_path={run / 'checkpoints' / 'final.ckpt'}", f"--data.source={tmp_path}/new.parquet"]
    command += [
        f"--trainer.default_root_dir={tmp_path}",
        "--trainer.accelerator=cpu",
        "--predictions.columns=[id,kind]",
    ]
    main(command)
    table = pq.read_table(tmp_path / "predictions.parquet")
    assert table.column_names == [*COLUMNS, "source", "row", "id", "input_kind"]
    assert table["id"].to_pylist() == ["a", "b", "c", "d", "e"]
    assert table["input_kind"].to_pylist() == new["kind"].to_pylist()


def test_columns_that_cannot_be_copied(run, tmp_path):
    writer = PredictionWriter(columns=["id"])
    with pytest.raises(ConfigurationError, match=r"predictions\.columns.*HierarchicalDataModule"):
        toy_trainer(tmp_path, writer).predict(toy_module(), DataLoader(rows(4)[0], batch_size=4))
    data = HierarchicalDataModule(str(run / "train.parquet"), TAXONOMY, "x")
    with pytest.raises(DataError, match=r"no column 'id' \(predictions\.columns\)"):
        toy_trainer(tmp_path, writer).predict(toy_module(), data)


def check_columns(columns, module, prediction):
    taxonomy = module.taxonomy
    for i, level in enumerate(taxonomy.levels):
        for suffix, given in (("", prediction.probabilities), ("_own", prediction.own_probabilities)):
            confidence, best = given[i].max(1)
            torch.testing.assert_close(torch.tensor(columns[f"{level}{suffix}_confidence"]), confidence)
            assert columns[level + suffix] == [taxonomy.names(i)[k] for k in best.tolist()]
    # The path by hand: from the best coarsest class to the best child of each node, as long as it is confident enough.
    probabilities = [p.tolist() for p in prediction.probabilities]
    for row, (path, depth, confidence) in enumerate(
        zip(columns["path"], columns["depth"], columns["path_confidence"], strict=True)
    ):
        steps, prefix = [], ()
        for i in range(taxonomy.n_levels):
            below = {node: probabilities[i][row][k] for k, node in enumerate(taxonomy.nodes(i)) if node[:-1] == prefix}
            prefix = max(below, key=below.get)
            steps.append((prefix, below[prefix]))
        certain = next((i for i, (_, p) in enumerate(steps) if p < module.threshold), len(steps))
        assert depth == certain
        assert path == ("/".join(steps[certain - 1][0]) if certain else "")
        assert confidence == pytest.approx(steps[max(certain - 1, 0)][1], abs=1e-6)
    assert len(set(columns["depth"])) > 1


def test_predict_within_python(run):
    """The module of a command-line run, its data module and a stock trainer."""
    module = NestedLightningModule.load_from_checkpoint(run / "checkpoints" / "final.ckpt", map_location="cpu")
    data = HierarchicalDataModule(str(run / "train.parquet"), module.taxonomy, "x", validation=60)
    batches = toy_trainer(run).predict(module, data)
    assert sum(len(batch.depth) for batch in batches) == 300
    assert all(isinstance(batch, Prediction) for batch in batches)


def test_the_checkpoint_holds_the_calibration(run):
    state = torch.load(run / "checkpoints" / "final.ckpt", weights_only=True)
    module = NestedLightningModule.load_from_checkpoint(run / "checkpoints" / "final.ckpt", map_location="cpu")
    assert torch.equal(module.temperatures, state["state_dict"]["temperatures"])
    assert all(head.rejection_fitted for head in module.network.heads)
    own = module.predict(next(iter(loader()))[0]).own_probabilities
    assert all((p.sum(1) < 1).all() for p in own)  # the rejected mass
