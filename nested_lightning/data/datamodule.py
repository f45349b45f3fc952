"""The data module: any labelled source, divided by label depth, as batches for each stage of training."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor
from torch.utils.data import DataLoader

from nested_lightning.data.checks import height_and_width, refuse_taken_names, within
from nested_lightning.data.labelled import LabelledSource
from nested_lightning.data.partition import Partition, depths
from nested_lightning.data.parts import Parts
from nested_lightning.data.reader import Inputs
from nested_lightning.data.samplers import (
    Batch,
    RankSampler,
    StageLoader,
    StageSampler,
    TensorRows,
    make_loader,
)
from nested_lightning.data.sources import Split
from nested_lightning.data.vocabulary import PADDING, TextOptions, Vocabulary
from nested_lightning.errors import CheckpointError
from nested_lightning.stage import Stage
from nested_lightning.taxonomy import Taxonomy
from nested_lightning.utils.hparams import not_plain
from nested_lightning.utils.random import run_seed


class HierarchicalDataModule(L.LightningDataModule):
    """Rows with labels of uneven depth, in memory, as batches for each stage of training.

    A batch is ``(input, target)``: input ``float32[B, ...]`` (images ``[B, C, H, W]`` in [0, 1]) or, of text,
    token ids ``int64[B, L]``, L being the length of the longest text of the batch, -1 behind the end of shorter
    ones; target ``int64[B, n_levels]`` with -1 = not known at this level. The stage is the attribute ``stage`` of the
    module in training: its ``data`` decides between the rows D_i of the stage's level and all rows; without a
    stage, all rows. The order of a training epoch depends on seed, stage level and epoch alone.

    Args:
        source: ``"digits"`` (scikit-learn's 1,797 images of 8x8), a Hugging Face hub id, a local folder or
            file, a ``datasets.Dataset`` or ``DatasetDict``, a dict of these by split, or a list of these for
            one problem.
        taxonomy: the tree of labels: a :class:`Taxonomy`, its ``to_dict`` form, or a YAML file, one's own or
            one that comes with the package (``taxonomies/mnist.yaml``). None: built from ``label_columns``.
        input_column: images, text, or numbers in any regular shape. None: the only image column.
        label_columns: one leaf column (a name), whose labels may be classes of any level, or paths; or a list
            of one column per level, coarse to fine. An empty cell is unknown. None: the columns named as the
            levels, or else ``label``.
        levels: level names of a taxonomy built from columns. None: the column names.
        allow_repeated_names: whether one name may stand under two parents in a taxonomy built from columns.
        budgets: n_1..n_n, rows of D_1..D_n; labels below are hidden, rows left over not used (Sec. 4.3).
            None: each row's own depth decides.
        validation: rows (int) or share (float) of the training rows to validate on, where the source has no
            split ``validation``.
        test: as ``validation``, where the source has no split ``test``.
        batch_size: training rows per step and process.
        eval_batch_size: rows per batch in validation, test and prediction.
        num_workers: processes that make batches; 0 is fastest unless ``augmentation`` is slow.
        image_size: side, or height and width, that images are resized to. None: all have one size already.
        text: how texts become token ids.
        transform: called with each float batch; deterministic, such as a torchvision v2 ``Normalize``.
        augmentation: called with each float training input by itself, before ``transform``; its random
            numbers must be torch's, as in torchvision v2.
        distortions: by name, transforms of one float image, such as
            :class:`~nested_lightning.transforms.Turbulence`. Testing then goes over the test rows as they are and once
            more under each, logged under ``test/NAME/...``. The random numbers of a row depend on ``seed`` and its
            number alone, so that all distortions have the same.
        seed: of partition and order. None: that of ``seed_everything``, or 0.

    Raises:
        NestedLightningError: a ConfigurationError, TaxonomyError, DataError or BudgetError at the first use
            of what cannot be used; it names the place and the remedy.

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
        seed: int | None = None,
    ) -> None:
        super().__init__()
        # the module's hyperparameters have a taxonomy too, and Lightning refuses to log two values
        self.save_hyperparameters(ignore=not_plain(locals()), logger=False)
        self._data = LabelledSource(source, taxonomy, label_columns, levels, allow_repeated_names)
        self._inputs = Inputs(input_column, height_and_width(image_size), text, self._training_rows, self._first_split)
        self._budgets, self._validation, self._test = budgets, validation, test
        self._batch_size = within("batch_size", batch_size, 1)
        self._eval_batch_size = within("eval_batch_size", eval_batch_size, 1)
        self._num_workers = within("num_workers", num_workers, 0, 1024)  # each is a process
        self._transform, self._augmentation, self._seed = transform, augmentation, seed
        self._distortions = dict(distortions or {})
        self._rows: dict[str, TensorRows] = {}

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.hparams.get('source', 'given data')})"

    @property
    def taxonomy(self) -> Taxonomy:
        """The tree of labels; the data are read for it only where it was not given."""
        return self._data.taxonomy

    @property
    def levels(self) -> tuple[str, ...]:
        """Level names, coarse to fine."""
        return self.taxonomy.levels

    @cached_property
    def _parts(self) -> Parts:
        seed = run_seed() if self._seed is None else self._seed
        return Parts(self._data, seed, self._budgets, self._validation, self._test)

    @property
    def partition(self) -> Partition:
        """The rows of the split ``train`` that are D_1..D_n, validation and test; reads labels, no inputs."""
        return self._parts.partition

    @property
    def subset_sizes(self) -> list[int]:
        """Number of rows of D_1..D_n; reads labels, no inputs."""
        return self._parts.subset_sizes

    @property
    def level_counts(self) -> list[int]:
        """Number of training rows whose label is known and used, per level; reads labels, no inputs."""
        return self._parts.level_counts

    @property
    def has_test(self) -> bool:
        """Whether there are rows to test on: a split ``test``, or rows to be carved out."""
        return self._parts.has_test

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, (C, H, W) for images, (tokens at most,) for text; reads one input."""
        return self._inputs.shape

    @property
    def vocabulary(self) -> Vocabulary:
        """The words of the texts; trained at the first use, on training rows alone, if it was not given."""
        return self._inputs.vocabulary

    def prepare_data(self) -> None:
        """Download and convert the source once, before other processes need it."""
        _ = self._data.splits

    def setup(self, stage: str) -> None:
        """Read the rows that ``stage`` (fit, validate, test or predict) needs, and no others.

        Texts to be answered are read when their loader is asked for: their vocabulary is in a checkpoint, which is
        not loaded yet.
        """
        if stage == "fit":
            self._parts.require_every_level()
            self._inputs.refuse_labels(self._data.label_columns(self._data.splits["train"]))
            if n := self._parts.n_unlabelled:
                rank_zero_warn(f"{n} training rows have no label at any level and are left out")
            self._load("train")
        if stage == "fit" or not self._inputs.awaits_vocabulary:
            self._load({"fit": "validation", "validate": "validation"}.get(stage, stage))

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the rows of the current stage; see :class:`StageLoader` for how it resumes.

        A stage of ``"exact"`` rows of which there are none takes the rows labelled further instead.
        """
        rows, stage = self._load("train"), self._stage()
        depth = depths(rows.targets)
        wanted = depth == stage.level + 1 if stage.data == "exact" else depth > 0
        if not wanted.any():
            wanted = depth > stage.level
            rank_zero_info(
                f"No training row is labelled to {self.levels[stage.level]!r} and no further: its stage trains on the "
                f"{int(wanted.sum())} rows that are labelled further"
            )
        chosen = wanted.nonzero().flatten()
        lengths = (rows.inputs[chosen] != PADDING).sum(1) if rows.inputs.dtype == torch.int32 else None
        sampler = StageSampler(
            chosen, self._parts.seed, self._position, *self._world(), lengths=lengths, batch_size=self._batch_size
        )
        return make_loader(StageLoader, rows, sampler, self._batch_size, self._num_workers)

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Return the validation rows, each on one process; no loader where there are none."""
        rows = self._load("validation")
        return self._evaluation_loader(rows) if len(rows) else []

    def test_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Return the test rows, each on one process; with ``distortions`` a list, the rows as they are first."""
        rows = self._load("test")
        refuse_taken_names(self._distortions, self.levels)
        loaders = [self._evaluation_loader(rows)]
        for name, distortion in self._distortions.items():
            distorted = TensorRows(rows.inputs, rows.targets, self._transform, distortion)
            distorted.key, distorted.name = (self._parts.seed,), name
            loaders.append(self._evaluation_loader(distorted))
        return loaders if self._distortions else loaders[0]

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the rows of the split ``predict``, else ``test``, else of the only one; targets are -1."""
        return self._evaluation_loader(self._load("predict"))

    def labelled_dataloader(self, part: str = "train") -> DataLoader[Batch]:
        """Return all rows of ``train``, ``validation`` or ``test`` in a fixed order, on every process.

        Training rows come without augmentation, their labels hidden as the budgets want it.
        """
        rows = self._load(part)
        plain = TensorRows(rows.inputs, rows.targets, self._transform)
        return make_loader(DataLoader, plain, RankSampler(len(plain)), self._eval_batch_size, self._num_workers)

    def state_dict(self) -> dict[str, Any]:
        """Return what the rows depend on besides the arguments: seed, input shape, vocabulary."""
        return {"seed": self._parts.seed, **self._inputs.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over seed, input shape and vocabulary, so that training and validation rows stay apart.

        Raises:
            CheckpointError: another seed was given.
        """
        if self._seed not in (None, state_dict["seed"]):
            raise CheckpointError(
                f"the checkpoint's rows were divided with seed {state_dict['seed']}, but "
                f"data.seed={self._seed} would mix its training and validation rows: leave data.seed out"
            )
        if self._rows and self.state_dict() != state_dict:
            self._rows.clear()
        if self._parts.seed != state_dict["seed"]:
            del self._parts
        self._seed = int(state_dict["seed"])
        self._inputs.load_state_dict(state_dict)

    def _load(self, part: str) -> TensorRows:
        """Return the rows of a part, read at the first call."""
        if part not in self._rows:
            split, rows, targets = self._parts.select(part)
            augmentation = self._augmentation if part == "train" else None
            self._rows[part] = TensorRows(self._inputs.read(split, rows), targets, self._transform, augmentation)
            self._rows[part].text = self._inputs.text(split, rows)
        return self._rows[part]

    def _training_rows(self) -> tuple[Split, Tensor]:
        split, rows, _ = self._parts.select("train")
        return split, rows

    def _first_split(self) -> Split:
        splits = self._data.splits
        return splits.get("train", next(iter(splits.values())))

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

    def _evaluation_loader(self, rows: TensorRows) -> DataLoader[Batch]:
        sampler = RankSampler(len(rows), *self._world())
        return make_loader(DataLoader, rows, sampler, self._eval_batch_size, self._num_workers)
