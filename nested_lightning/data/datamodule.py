"""The data module: any labelled source, divided by label depth, as batches for each stage of training."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch.utils.data import DataLoader

from nested_lightning.data.columns import Inputs
from nested_lightning.data.labels import LabelledSource
from nested_lightning.data.partition import (
    Partition,
    Selection,
    depths,
    fingerprint,
    partition,
    require_sizes,
    select,
    stage_rows,
)  # fmt: skip
from nested_lightning.data.reading import READING, ReadOptions
from nested_lightning.data.samplers import Batch, StageLoader, StageSampler, TensorRows, evaluation_loader, make_loader
from nested_lightning.data.vocabulary import PADDING, TextOptions, Vocabulary
from nested_lightning.errors import CheckpointError, ConfigurationError
from nested_lightning.stage import Stage
from nested_lightning.taxonomy import Taxonomy
from nested_lightning.utils.hparams import not_plain, plain
from nested_lightning.utils.random import run_seed


class HierarchicalDataModule(L.LightningDataModule):
    """Rows with labels of uneven depth, in memory, as batches for each stage of training.

    A batch is ``(input, target)``. The input is ``float32[B, ...]`` (images ``[B, C, H, W]`` in [0, 1]) or, for text,
    token ids ``int64[B, L]`` where L is the length of the longest text of the batch, padded with -1. The target is
    ``int64[B, n_levels]`` with -1 = not known at this level. The attribute ``stage`` of the module in training decides
    which rows are used: its ``data`` selects the rows D_i of the stage's level or all rows; without a stage, all
    rows. The order of a training epoch depends on seed, stage level and epoch alone.

    Args:
        source: ``"digits"`` (scikit-learn's 1,797 images of 8x8), a Hugging Face hub id, a local folder or file, a
            ``datasets.Dataset`` or ``DatasetDict``, a dict of these by split, or a list of these to concatenate.
        taxonomy: the tree of labels: a :class:`Taxonomy`, its ``to_dict`` form, or a YAML file, your own or one of
            the package (``taxonomies/mnist.yaml``). None: built from ``label_columns`` or the folders of images.
        input_column: images, text, or numbers in any regular shape. None: the only image column.
        label_columns: one leaf column (a name), whose labels may be classes of any level, or paths; or a list
            of one column per level, coarse to fine. An empty cell is unknown. None: the columns named as the
            levels, or else ``label``.
        levels: level names of a taxonomy built from columns or folders. None: the column names, or ``l1``, ``l2``, ...
        allow_repeated_names: whether one name may stand under two parents in a taxonomy built from columns.
        budgets: n_1..n_n, the number of rows of D_1..D_n; finer labels are hidden, the remaining rows are not used
            (Sec. 4.3). None: each row's own depth decides.
        validation: number (int) or share (float) of training rows to validate on, without a split ``validation``.
        test: as ``validation``, without a split ``test``.
        batch_size: training rows per step and process.
        eval_batch_size: rows per batch in validation, test and prediction.
        num_workers: processes that make batches; 0 is fastest unless ``augmentation`` is slow.
        image_size: side, or height and width, to resize images to. None: all images already have one size.
        text: how texts become token ids.
        transform: called with each float batch; deterministic, such as a torchvision v2 ``Normalize``.
        augmentation: called with each float training input by itself, before ``transform``; draws its random
            numbers from torch, as torchvision v2 does.
        distortions: by name, transforms of one float image, such as :class:`~nested_lightning.transforms.Turbulence`.
            The test also runs under each, logged under ``test/NAME/...``; random numbers depend on ``seed`` and row.
        reading: how files of text are read, and which texts are labels.
        seed: of partition and order. None: that of ``seed_everything``, or 0.

    Raises:
        NestedLightningError: a ConfigurationError, TaxonomyError, DataError or BudgetError when something that
            cannot be used is first needed; it names the place and the remedy.

    Example:
        >>> digits = {"levels": ["shape", "digit"], "leaves": [["round", d] for d in "0689"] +
        ...           [["other", d] for d in "123457"]}
        >>> data = HierarchicalDataModule("digits", digits, budgets=[500, 100], validation=0.2, seed=0)
        >>> data.level_counts
        [600, 100]
        >>> data.setup("fit")
        >>> inputs, targets = next(iter(data.train_dataloader()))
        >>> inputs.shape, targets.shape
        (torch.Size([32, 1, 8, 8]), torch.Size([32, 2]))
    """

    def __init__(
        self,
        source: Any = "digits",
        taxonomy: Any = None,
        input_column: str | None = None,
        label_columns: str | list[str] | None = None,
        levels: list[str] | None = None,
        allow_repeated_names: bool = False,
        budgets: list[int] | None = None,
        validation: int | float = 0.1,
        test: int | float | None = None,
        batch_size: int = 32,
        eval_batch_size: int = 512,
        num_workers: int = 0,
        image_size: int | list[int] | None = None,
        text: TextOptions = TextOptions(),  # noqa: B008  # it cannot be changed
        transform: Callable[..., Any] | None = None,
        augmentation: Callable[..., Any] | None = None,
        distortions: Mapping[str, Callable[..., Any]] | None = None,
        reading: ReadOptions = READING,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        budgets, validation, test, seed, image_size = plain((budgets, validation, test, seed, image_size))
        batch_size, eval_batch_size, num_workers = plain((batch_size, eval_batch_size, num_workers))
        # the module's hyperparameters have a taxonomy too, and Lightning refuses to log two values
        self.save_hyperparameters(ignore=not_plain(locals()), logger=False)
        self._labels = LabelledSource(source, taxonomy, label_columns, levels, allow_repeated_names, reading)
        self._inputs = Inputs(input_column, image_size, text, self._labels, self._select)
        self._budgets, self._validation, self._test = budgets, validation, test or 0
        require_sizes(batch_size, eval_batch_size, num_workers)
        self.batch_size, self.eval_batch_size, self._num_workers = batch_size, eval_batch_size, num_workers
        self._transform, self._augmentation, self._given_seed = transform, augmentation, seed
        self._distortions = dict(distortions or {})
        self._rows: dict[str, TensorRows] = {}
        self._divided: dict[str, Any] | None = None

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.hparams.get('source', 'given data')})"

    @property
    def taxonomy(self) -> Taxonomy:
        """The tree of labels; the data are read for it only if it was not given."""
        return self._labels.taxonomy

    @property
    def levels(self) -> tuple[str, ...]:
        """Level names, coarse to fine."""
        return self.taxonomy.levels

    @cached_property
    def partition(self) -> Partition:
        """The rows of the split ``train`` that are D_1..D_n, validation and test; reads labels, no inputs."""
        self._labels.split("train", "name the split to train on 'train', or give a source that has one")
        return partition(
            self._labels.targets("train"),
            self._seed,
            levels=self.levels,
            divided=self._divided,
            budgets=self._budgets,
            validation=0 if "validation" in self._labels.splits else self._validation,
            test=0 if "test" in self._labels.splits else self._test,
        )

    @property
    def subset_sizes(self) -> list[int]:
        """Number of rows of D_1..D_n; reads labels, no inputs."""
        return self.partition.subset_sizes

    @property
    def level_counts(self) -> list[int]:
        """Number of training rows whose label is known and used, per level; reads labels, no inputs."""
        return self.partition.level_counts

    @property
    def has_test(self) -> bool:
        """Whether there are rows to test on: a split ``test``, or rows set aside from ``train``."""
        splits = self._labels.splits
        return "test" in splits or ("train" in splits and len(self.partition.test) > 0)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, (C, H, W) for images, (maximum number of tokens,) for text; reads one input or more."""
        return self._inputs.shape

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the texts; if none was given, trained on the training texts when first used."""
        return self._inputs.vocabulary

    def prepare_data(self) -> None:
        """Download and convert the source once, before other processes need it."""
        _ = self._labels.splits

    def setup(self, stage: str) -> None:
        """Read the rows that ``stage`` (fit, validate, test or predict) needs, and no others.

        Outside ``fit``, texts whose vocabulary is in a checkpoint that is not loaded yet are read only when their
        loader is requested.
        """
        if stage == "fit":
            self.partition.require_every_level(self.levels)
            self._inputs.refuse_labels(self._labels.label_columns(self._labels.splits["train"]))
            if n := int((depths(self._labels.targets("train")) == 0).sum()):
                rank_zero_warn(f"{n} training rows have no label at any level and are left out")
            self._load("train")
        if stage == "fit" or not self._inputs.awaits_vocabulary:
            self._load("validation" if stage in ("fit", "validate") else stage)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the rows of the current stage, see :func:`stage_rows`; :class:`StageLoader` says how it resumes."""
        rows = self._load("train")
        chosen = stage_rows(rows.targets, self._stage(), self.levels)
        lengths = (rows.inputs[chosen] != PADDING).sum(1) if rows.inputs.dtype == torch.int32 else None
        sampler = StageSampler(
            chosen, self._seed, self._position, *self._world(), lengths=lengths, batch_size=self.batch_size
        )
        return make_loader(StageLoader, rows, sampler, self.batch_size, self._num_workers)

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Return a loader that divides the validation samples among the processes, or ``[]`` if there are none."""
        rows = self._load("validation")
        return self._evaluation_loader(rows, *self._world()) if len(rows) else []

    def test_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Return a loader that divides the test samples among the processes; with ``distortions`` a list, clean first.

        Raises:
            ConfigurationError: the name of a distortion is used for other metrics.
        """
        rows, taken = self._load("test"), [*self.levels, "path"]
        loaders = [self._evaluation_loader(rows, *self._world())]
        for name, distortion in self._distortions.items():
            if not name or "/" in name or name in taken:
                raise ConfigurationError(
                    f"data.distortions has the name {name!r}, but metrics are logged under test/{name}/...: choose a "
                    f"name without a slash, other than {', '.join(taken)}"
                )
            distorted = TensorRows(rows.inputs, rows.targets, self._transform, distortion)
            distorted.key, distorted.name = (self._seed,), name
            loaders.append(self._evaluation_loader(distorted, *self._world()))
        return loaders if self._distortions else loaders[0]

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the rows of the split ``predict``, else ``test``, else of the only one; targets are -1."""
        return self._evaluation_loader(self._load("predict"), *self._world())

    def labelled_dataloader(self, part: str = "train") -> DataLoader[Batch]:
        """Return all rows of ``train``, ``validation`` or ``test`` in a fixed order, on every process.

        Training rows have no augmentation; the budgets hide their labels as in training.
        """
        rows = self._load(part)
        return self._evaluation_loader(TensorRows(rows.inputs, rows.targets, self._transform))

    def state_dict(self) -> dict[str, Any]:
        """Return what determines the rows besides the arguments: seed, training rows, input shape, vocabulary."""
        if self._divided is None and "partition" in self.__dict__:
            self._divided = fingerprint(self._labels.targets("train"))
        return {"seed": self._seed, "rows": self._divided, **self._inputs.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore seed, training rows, input shape and vocabulary, so that training and validation rows stay apart.

        Raises:
            CheckpointError: another seed was given.
        """
        seed = state_dict["seed"]
        if self._given_seed not in (None, seed):
            raise CheckpointError(
                f"the checkpoint's rows were divided with seed {seed}, but "
                f"data.seed={self._given_seed} would mix its training and validation rows: leave data.seed out"
            )
        saved, divided = {"rows": None, **state_dict}, "partition" in self.__dict__
        if self._rows and self.state_dict() != (saved if divided else {**saved, "rows": None}):
            self._rows.clear()
        if self._seed != seed or self._divided != saved["rows"]:
            self.__dict__.pop("partition", None)
        self._given_seed, self._seed, self._divided = int(seed), int(seed), saved["rows"]
        self._inputs.load_state_dict(state_dict)

    @cached_property
    def _seed(self) -> int:
        """The seed, fixed when it is first needed."""
        return run_seed() if self._given_seed is None else self._given_seed

    def _select(self, part: str) -> Selection:
        return select(self._labels, part, lambda: self.partition)

    def _load(self, part: str) -> TensorRows:
        """Return the rows of a part, read at the first call."""
        if part not in self._rows:
            split, rows, targets = self._select(part)
            augmentation = self._augmentation if part == "train" else None
            self._rows[part] = TensorRows(self._inputs.read(split, rows), targets, self._transform, augmentation)
            self._rows[part].text, self._rows[part].origin = self._inputs.origin(split, rows)
        return self._rows[part]

    def _stage(self) -> Stage:
        last = self.taxonomy.n_levels - 1
        if self.trainer is None:
            return Stage(level=last)
        stage = getattr(self.trainer.lightning_module, "stage", None)
        return stage if isinstance(stage, Stage) else Stage(level=last, epoch=self.trainer.current_epoch)

    def _position(self) -> tuple[int, int]:
        stage = self._stage()
        return stage.level, stage.epoch

    def _world(self) -> tuple[int, int]:
        return (1, 0) if self.trainer is None else (self.trainer.world_size, self.trainer.global_rank)

    def _evaluation_loader(self, rows: TensorRows, *world: int) -> DataLoader[Batch]:
        return evaluation_loader(rows, self.eval_batch_size, self._num_workers, *world)
