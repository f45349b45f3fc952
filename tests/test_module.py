import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from helpers.refusing import refusing
from helpers.toy import TAXONOMY, Recorder, backbone, loader, rows, toy_module, toy_trainer
from helpers.witnesses import copy_of, same
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.optim import SGD, Adam
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, TensorDataset

from nested_lightning import HierarchicalDataModule, NestedLightningModule, Taxonomy
from nested_lightning.callbacks import CascadeTraining, RejectionFineTuning, RunCheckpoint, TemperatureScaling
from nested_lightning.checkpoints.io import AtomicCheckpointIO
from nested_lightning.errors import CheckpointError, ConfigurationError, DataError, NonFiniteError
from nested_lightning.functional.combination import independent, nested, sum_up
from nested_lightning.models import ConvBottleneck, NGramBag, UNetEncoder


def fit(tmp_path, module, *callbacks, train=None, validation=None, **options):
    trainer = toy_trainer(tmp_path, *callbacks, **{"max_epochs": 1, **options})
    trainer.fit(module, train or loader(), validation or loader(seed=1))
    return trainer


# ------------------------------------------------------------------------------------------------ loss and optimizer


def test_the_loss_by_hand():
    module = toy_module(loss_weights=[1.0, 2.0, 4.0]).eval()
    x, target = rows(6)
    target[2:, 2] = -1
    target[5, 1] = -1
    logits = module(x)
    expected = 0.0
    for alpha, level, labels in zip([1, 2, 4], logits, target.T, strict=True):
        probabilities = level[:, :-1].detach().softmax(1)  # without the rejection class, which is masked out
        expected -= alpha * sum(math.log(probabilities[j, k]) for j, k in enumerate(labels.tolist()) if k >= 0) / 6
    assert module.loss(logits, target).item() == pytest.approx(expected, rel=1e-5)
    # Only the levels that were run.
    first = module.loss(module(x, up_to=0), target).item()
    assert first == pytest.approx(torch.nn.functional.cross_entropy(logits[0], target[:, 0]).item())


def test_the_optimizer_has_only_trainable_parameters():
    module = toy_module(optimizer=lambda parameters: SGD(parameters, lr=0.25))
    module.network.backbone.requires_grad_(False)
    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, SGD)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in module.network.parameters()} - {id(p) for p in module.network.backbone.parameters()}
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert isinstance(toy_module().configure_optimizers(), Adam)


def test_loss_weights_come_from_the_counts_of_the_data(tmp_path):
    data = HierarchicalDataModule("digits", "taxonomies/digits.yaml", budgets=[300, 200, 100], validation=50)

    def weights(**arguments):
        module = toy_module(backbone=nn.Flatten(), feature_channels=64, taxonomy=data.taxonomy, **arguments)
        toy_trainer(tmp_path, fast_dev_run=True).fit(module, data)
        return module.loss_weights.tolist()

    assert weights() == pytest.approx([1, 2, 6])  # 600, 300 and 100 rows known
    assert weights(loss_weights=[3.0, 2.0, 1.0]) == [3, 2, 1]
    module = toy_module()
    fit(tmp_path, module, fast_dev_run=True)  # other loaders are not counted
    assert module.loss_weights.tolist() == [1, 1, 1]


def test_an_overridden_loss_is_used(tmp_path):
    class Doubled(NestedLightningModule):
        def loss(self, logits, target):
            return 2 * super().loss(logits, target)

    def losses(cls):
        trainer = fit(tmp_path, toy_module(cls, optimizer=lambda p: SGD(p, lr=0.0)), limit_train_batches=1)
        return [float(trainer.callback_metrics[key]) for key in ("train/loss", "val/loss")]

    assert losses(Doubled) == pytest.approx([2 * loss for loss in losses(NestedLightningModule)])


def test_rows_of_uneven_depth_train_in_one_batch(tmp_path):
    x, target = rows(32)
    target[::2, 1:] = -1
    module = toy_module()
    before = module.network.heads[2].linear.weight.clone()
    fit(tmp_path, module, train=DataLoader(TensorDataset(x, target), batch_size=8))
    assert not torch.equal(module.network.heads[2].linear.weight, before)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"loss_weights": [1.0, 2.0]}, ["model.loss_weights has 2 values", "3 levels", "kind, group, leaf"]),
        ({"threshold": 1.2}, ["model.threshold", "[0, 1]", "1.2"]),
        ({"label_smoothing": 1.0}, ["model.label_smoothing", "[0, 1)", "1.0"]),
        ({"combination": "nestd"}, ["nestd", "Did you mean 'nested'"]),
        ({"bottleneck_channels": [4, 4]}, ["bottleneck_channels", "3 levels"]),
    ],
)
def test_invalid_arguments(arguments, words):
    with refusing(ConfigurationError, *words):
        toy_module(**arguments)


# -------------------------------------------------------------------------------------------------------- predictions


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    module = toy_module()
    callbacks = CascadeTraining(max_epochs=3), RejectionFineTuning(steps=30), TemperatureScaling("nll")
    fit(tmp_path_factory.mktemp("fit"), module, *callbacks, train=loader(128), max_epochs=-1)
    assert not torch.equal(module.temperatures, torch.ones(3))
    assert all(head.rejection_fitted for head in module.network.heads)
    return module


@pytest.mark.parametrize("training", [False, True])  # predicting must not depend on the mode
@pytest.mark.parametrize("name", ["fresh", "calibrated"])
def test_a_sample_is_predicted_alike_alone_and_among_others(request, name, training):
    module = toy_module() if name == "fresh" else request.getfixturevalue(name)
    module.train(training)
    x, _ = rows(20, seed=5)
    with torch.no_grad():
        together = module.predict(x)
        for row in range(20):
            alone = module.predict(x[row : row + 1])
            for one, many in zip(pytree.tree_leaves(tuple(alone)), pytree.tree_leaves(tuple(together)), strict=True):
                torch.testing.assert_close(one[0], many[row], atol=1e-6, rtol=0)
                assert one[0].argmax() == many[row].argmax()
    assert module.training == training
    module.eval()


def test_predicting_leaves_modes_and_statistics_alone():
    module = toy_module().train()
    module.network.backbone[1].eval()
    modes = [part.training for part in module.modules()]
    statistics = module.network.backbone[1].running_mean.clone()
    module.predict(rows(20)[0])
    assert [part.training for part in module.modules()] == modes
    assert torch.equal(module.network.backbone[1].running_mean, statistics)


def test_the_parts_of_a_prediction(calibrated):
    x, _ = rows(30, seed=6)
    with torch.no_grad():
        prediction = calibrated.predict(x)
        logits = calibrated(x)
    for level, temperature, own in zip(logits, calibrated.temperatures, prediction.own_probabilities, strict=True):
        torch.testing.assert_close(own, (level / temperature).softmax(1)[:, :-1])
        assert (own.sum(1) < 1).all()
    expected = nested([p.log() for p in prediction.own_probabilities], TAXONOMY)
    for p, q in zip(prediction.probabilities, expected, strict=True):
        torch.testing.assert_close(p, q.exp())
    for row in range(30):
        depth = int(prediction.depth[row])
        path = prediction.path[row].tolist()
        assert path[depth:] == [-1] * (3 - depth)
        confidences = [float(p[row, k]) for p, k in zip(prediction.probabilities, path[:depth], strict=False)]
        assert all(c >= calibrated.threshold for c in confidences)
        if depth:
            assert float(prediction.path_confidence[row]) == pytest.approx(confidences[-1])
            assert TAXONOMY.target(TAXONOMY.nodes(depth - 1)[path[depth - 1]])[:depth] == path[:depth]


@pytest.mark.parametrize(("rule", "function"), [("sum_up", sum_up), ("independent", independent), (sum_up, sum_up)])
def test_the_combination_is_a_name_or_a_function(rule, function):
    prediction = toy_module(combination=rule).predict(rows(5)[0])
    expected = function([p.log() for p in prediction.own_probabilities], TAXONOMY)
    torch.testing.assert_close(prediction.probabilities, [p.exp() for p in expected])


# ------------------------------------------------------------------------------------------------------------- metrics


def test_logged_keys(tmp_path):
    module = toy_module()
    trainer = fit(tmp_path, module)
    of_level = ("accuracy", "confidence", "ece", "aurc")
    of_path = ("accuracy", "inconsistency", "precision", "recall", "f1", "tree_distance", "aurc")
    measured = {f"{level}/{name}" for level in TAXONOMY.levels for name in of_level}
    measured |= {f"path/{name}" for name in of_path}
    assert set(trainer.callback_metrics) == {f"val/{key}" for key in {*measured, "loss", "correct_levels"}} | {
        "train/loss"
    }
    trainer.test(module, loader(seed=2), verbose=False)
    assert set(trainer.callback_metrics) == {f"test/{key}" for key in measured}
    # By hand: the accuracy of the combined predictions.
    x, target = rows(32, seed=2)
    prediction = module.predict(x).probabilities
    for i, level in enumerate(TAXONOMY.levels):
        accuracy = (prediction[i].argmax(1) == target[:, i]).float().mean()
        assert float(trainer.callback_metrics[f"test/{level}/accuracy"]) == pytest.approx(float(accuracy))


def test_levels_beyond_the_stage_are_not_measured(tmp_path):
    logger = Recorder()
    fit(tmp_path, toy_module(), CascadeTraining(max_epochs=1), max_epochs=-1, logger=logger)
    seen = [{key.split("/")[1] for key in row if key.startswith("val/")} for row in logger.rows if "val/loss" in row]
    common = {"loss", "path", "correct_levels"}
    assert seen == [common | {"kind"}, common | {"kind", "group"}, common | {"kind", "group", "leaf"}]


# ----------------------------------------------------------------------------------------------------- batches, loaders


def test_a_last_batch_of_one_sample_trains(tmp_path):
    module = toy_module()  # its backbone has PyTorch's batch normalisation
    trained = []

    class Watch(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            self.before = copy_of(module)

        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            after, norm = copy_of(module), "network.backbone.1.running_mean"
            moved = [not torch.equal(self.before[name], after[name]) for name in (norm, "network.backbone.0.weight")]
            trained.append((len(batch[0]), *moved, all(part.training for part in module.network.modules())))

    fit(tmp_path, module, Watch(), train=loader(17))
    assert trained == [(16, True, True, True), (1, False, True, True)]


def test_other_mistakes_of_a_backbone_keep_their_message(tmp_path):
    class Wrong(nn.Module):
        def forward(self, x):
            raise ValueError("Expected more than 1 value per channel, or so")

    with pytest.raises(ValueError, match="or so"):
        fit(tmp_path, toy_module(backbone=Wrong()))


@pytest.mark.parametrize("run", ["fit", "validate"])
def test_several_validation_loaders(tmp_path, run):
    trainer, loaders = toy_trainer(tmp_path, max_epochs=1), [loader(), loader()]
    with refusing(ConfigurationError, "validation takes one data loader, got 2", "ConcatDataset"):
        trainer.fit(toy_module(), loader(), loaders) if run == "fit" else trainer.validate(toy_module(), loaders)


def test_several_prediction_loaders(tmp_path):
    with refusing(ConfigurationError, "prediction takes one data loader, got 2", "one after the other"):
        toy_trainer(tmp_path).predict(toy_module(), [loader(), loader()])


@pytest.mark.parametrize(
    ("loaders", "got"),
    [({"a": loader(), "b": loader()}, "a dict of a, b"), ([loader(), loader()], "a list of list, list")],
)
def test_several_training_loaders(tmp_path, loaders, got):
    with refusing(DataError, f"got {got}", "ConcatDataset", "override training_step"):
        fit(tmp_path, toy_module(), train=loaders)


def test_own_steps_may_take_several_loaders(tmp_path):
    class Own(NestedLightningModule):
        def training_step(self, batch, batch_idx):
            return sum(self.loss(self(x), target) for x, target in batch)

        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            self.log("val/loss", self.loss(self(batch[0]), batch[1]))

        def on_validation_epoch_end(self):
            pass

    trainer = fit(tmp_path, toy_module(Own), train=[loader(), loader()], validation=[loader()], max_epochs=1)
    assert trainer.global_step == 2
    toy_trainer(tmp_path).validate(toy_module(Own), [loader(), loader()], verbose=False)


# ---------------------------------------------------------------------------------------------------------- not finite


def test_an_input_that_is_not_finite_is_told_with_its_place(tmp_path):
    x, target = rows(32)
    x[17, 3] = float("inf")
    train = DataLoader(TensorDataset(x, target), batch_size=8)
    with refusing(NonFiniteError, "the input is not finite in stage 1 (kind), epoch 1, training batch 2: samples [1]"):
        fit(tmp_path, toy_module(), CascadeTraining(max_epochs=1), train=train, max_epochs=-1)


def test_a_loss_that_is_not_finite_is_told_with_its_place(tmp_path):
    class Diverging(NestedLightningModule):
        def loss(self, logits, target):
            late = self.stage.level == 1 and self.stage.epoch == 1 and self.trainer.training
            return super().loss(logits, target) * (float("nan") if late else 1)

    place = "the loss is not finite in stage 2 (group), epoch 2, training batch 0"
    with refusing(NonFiniteError, place, "learning rate", "clip"):
        fit(tmp_path, toy_module(Diverging), CascadeTraining(max_epochs=2), max_epochs=-1)


def test_a_training_step_never_waits_for_the_device(monkeypatch):
    """Meta tensors have no values: looking at one raises."""
    module = toy_module().to("meta")
    monkeypatch.setattr(module, "log", lambda *args, **kwargs: None)
    x, target = (tensor.to("meta") for tensor in rows(8))
    module.training_step((x, target), 0).backward()
    with pytest.raises(RuntimeError, match="meta"):
        module.train_loss.refuse_non_finite("epoch 1, training")


def test_weights_after_a_step_that_was_not_finite_are_not_saved(tmp_path):
    x, target = rows(64)
    x[20] = float("nan")  # the third of eight steps
    train = DataLoader(TensorDataset(x, target), batch_size=8)
    with pytest.raises(NonFiniteError, match=r"the input is not finite.*training batch 2"):
        fit(tmp_path, toy_module(), RunCheckpoint(every_n_steps=2), train=train)
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 2
    assert all(torch.isfinite(value).all() for value in saved["state_dict"].values())


def test_a_validation_row_that_is_not_finite(tmp_path):
    x, target = rows(8)
    x[0] = float("nan")
    validation = DataLoader(TensorDataset(x, target), batch_size=8)
    with pytest.raises(NonFiniteError, match=r"the input is not finite.*validation batch 0"):
        fit(tmp_path, toy_module(), validation=validation)


# --------------------------------------------------------------------------------------------------------- checkpoints


def saved(tmp_path, module):
    fit(tmp_path, module, RunCheckpoint(), TemperatureScaling())
    path = tmp_path / "checkpoints" / "final.ckpt"
    torch.load(path, weights_only=True)  # which Lightning does by default
    return path


def test_a_module_made_in_python_comes_back(tmp_path):
    module = toy_module(loss_weights=[1.0, 2.0, 3.0], threshold=0.25, combination="sum_up")
    again = NestedLightningModule.load_from_checkpoint(saved(tmp_path, module), backbone=backbone())
    assert same(module.state_dict(), again.state_dict())
    assert again.taxonomy == TAXONOMY
    assert (again.threshold, again.combination) == (0.25, sum_up)
    x, _ = rows(10)
    assert torch.equal(module.predict(x).probabilities[2], again.predict(x).probabilities[2])


def test_a_module_made_by_the_command_line_comes_back_whole(trained):
    path = trained / "checkpoints" / "final.ckpt"
    module = NestedLightningModule.load_from_checkpoint(path, map_location="cpu")
    assert isinstance(module.network.backbone, UNetEncoder)
    assert isinstance(module.network.bottlenecks[0], ConvBottleneck)
    assert module.taxonomy.levels == ("coarse", "middle", "fine")
    weights = torch.load(path, weights_only=True)["state_dict"]
    assert all(torch.equal(weights[name], value) for name, value in module.state_dict().items())
    # An argument can still be replaced.
    assert NestedLightningModule.load_from_checkpoint(path, map_location="cpu", threshold=0.1).threshold == 0.1


class Wide(NestedLightningModule):
    """With arguments of its own, some of which are no plain values."""

    def __init__(self, taxonomy, activation, width=8, names=("a",), **arguments):
        backbone = nn.Sequential(nn.Linear(6, width), activation)
        backbone.out_channels = width
        super().__init__(backbone, taxonomy, **arguments)
        self.width, self.names = width, names


def test_a_subclass_with_arguments_that_are_no_plain_values(tmp_path):
    module = Wide(TAXONOMY, nn.ReLU(), width=12, bottleneck_channels=4, optimizer=lambda p: SGD(p, lr=0.1))
    path = saved(tmp_path, module)
    kept = torch.load(path, weights_only=True)["hyper_parameters"]
    assert (kept["width"], kept["bottleneck_channels"]) == (12, 4)
    assert "activation" not in kept
    assert "optimizer" not in kept
    again = Wide.load_from_checkpoint(path, activation=nn.ReLU())
    assert same(module.state_dict(), again.state_dict())
    assert again.width == 12


def test_a_checkpoint_of_another_taxonomy(tmp_path):
    path = saved(tmp_path, toy_module())
    other = Taxonomy.from_paths(["a/p/1", "a/p/2", "a/q/3", "b/r/4", "b/r/6"], levels=["kind", "group", "leaf"])
    with pytest.raises(CheckpointError, match="trained for another taxonomy"):
        NestedLightningModule.load_from_checkpoint(path, backbone=backbone(), taxonomy=other)
    with pytest.raises(CheckpointError, match="without ckpt_path"):
        toy_trainer(tmp_path).fit(toy_module(taxonomy=other), loader(), loader(), ckpt_path=path)


def test_a_checkpoint_of_another_network(tmp_path):
    path = saved(tmp_path, toy_module())
    with pytest.raises(CheckpointError, match=r"another model.*\[4, 8\].*\[5, 8\]"):
        toy_trainer(tmp_path).validate(toy_module(bottleneck_channels=5), loader(), ckpt_path=path)


def test_the_hyper_parameters_are_plain_values():
    module = toy_module(bottleneck_channels=[4, 4, 4], optimizer=lambda p: SGD(p, lr=0.1))
    assert module.hparams["bottleneck_channels"] == [4, 4, 4]
    assert module.hparams["taxonomy"] == TAXONOMY.to_dict()
    assert not {"backbone", "optimizer", "bottleneck"} & set(module.hparams)
    assert NestedLightningModule(backbone(), TAXONOMY.to_dict(), feature_channels=8).taxonomy == TAXONOMY


def test_values_of_numpy_are_kept_as_python_values(tmp_path):
    weights, channels = np.array([1.0, 2.0, 3.0]), np.array([4, 4, 4])
    module = toy_module(threshold=np.float64(0.2), loss_weights=weights, bottleneck_channels=channels)
    assert (module.hparams["threshold"], module.hparams["loss_weights"]) == (0.2, [1.0, 2.0, 3.0])
    again = NestedLightningModule.load_from_checkpoint(saved(tmp_path, module), backbone=backbone())
    assert (again.threshold, again.loss_weights.tolist()) == (0.2, [1.0, 2.0, 3.0])


class WithValue(Callback):
    """Callback of a user whose state is a value."""

    def __init__(self, value):
        self.value = value

    def state_dict(self):
        return {"value": self.value}


@pytest.mark.parametrize("plugins", [None, [AtomicCheckpointIO()]])
def test_values_of_numpy_anywhere_in_a_run_come_back(tmp_path, plugins):
    data = HierarchicalDataModule("digits", "taxonomies/digits.yaml", budgets=np.array([40, 40, 40]), seed=np.int64(3))
    module = NestedLightningModule(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 8)), data.taxonomy, feature_channels=8,
        optimizer=lambda parameters: SGD(parameters, lr=np.float64(0.1), weight_decay=np.float32(0.5)),
    )  # fmt: skip
    cascade = CascadeTraining(
        learning_rate=np.float64(1e-3), max_epochs=np.int64(1), plateau_factor=np.array([0.5, 0.5, 0.5])
    )
    callbacks = [cascade, WithValue({"best": [np.float32(0.5)]}), RunCheckpoint()]
    toy_trainer(tmp_path, *callbacks, plugins=plugins).fit(module, data)
    final = torch.load(tmp_path / "checkpoints" / "final.ckpt", weights_only=True)
    assert final["datamodule_hyper_parameters"]["seed"] == final["HierarchicalDataModule"]["seed"] == 3
    assert final["callbacks"]["WithValue"] == {"value": {"best": [0.5]}}
    toy_trainer(tmp_path, *callbacks, plugins=plugins).fit(module, data, ckpt_path="last")


def test_a_checkpoint_that_could_not_be_loaded_is_not_written(tmp_path):
    with pytest.raises(CheckpointError, match=r"could never be loaded.*objects of fractions\.Fraction.*plain values"):
        fit(tmp_path, toy_module(), RunCheckpoint(), WithValue(Fraction(1, 3)))
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_bag_of_n_grams_of_any_number_comes_back(tmp_path):
    def texts(n, channels=4):
        bag = NGramBag(vocabulary_size=30, channels=channels, n_grams=5000)
        if n:
            bag.fit_inputs([torch.randint(0, 30, (n, 6), generator=torch.Generator().manual_seed(0))])
        return toy_module(backbone=bag, feature_channels=None)

    fitted, path = texts(50), tmp_path / "a.ckpt"
    trainer = toy_trainer(tmp_path)
    trainer.strategy.connect(fitted)
    trainer.save_checkpoint(path)
    for n in (0, 20):
        loaded = texts(n)
        loaded.on_load_checkpoint(torch.load(path, weights_only=True))
        loaded.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
        assert same(loaded.state_dict(), fitted.state_dict())
    with pytest.raises(CheckpointError, match="belongs to another model"):
        texts(0, channels=5).on_load_checkpoint(torch.load(path, weights_only=True))
