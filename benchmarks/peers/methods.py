"""Linear support vector machines on TF-IDF, alone and as local classifiers of the library hiclass."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from benchmarks.peers.problem import Indices, Problem, Samples
from nested_lightning.errors import ConfigurationError
from nested_lightning.taxonomy import Taxonomy

GRID = (0.3, 1.0, 3.0, 10.0, 30.0)
"""The values of C that are tried on the validation samples."""
Scores = npt.NDArray[np.float64]
Candidate = TypeVar("Candidate")


@dataclass(frozen=True)
class Fitted:
    """A fitted method.

    Attributes:
        predict: from texts to class indices int64 [N, n_levels].
        seconds: wall time of fitting, including the choice of settings.
        settings: the chosen settings, for the report.
    """

    predict: Callable[[list[str]], Indices]
    seconds: float
    settings: dict[str, Any]


def fit_flat(problem: Problem) -> dict[str, Fitted]:
    """Fit one machine at the finest level, with coarser predictions from the taxonomy; it cannot use coarse labels."""
    start = time.perf_counter()
    words = make_vectorizer().fit(problem.train.known(-1).texts)
    score, c = _fit_level(words, problem, problem.taxonomy.n_levels - 1)

    def predict(texts: list[str]) -> Indices:
        leaves = torch.from_numpy(score(words.transform(texts)).argmax(axis=1))
        return problem.taxonomy.lift(leaves, -1).numpy()

    return {"svm_flat": Fitted(predict, time.perf_counter() - start, {"C": c})}


def fit_per_level(problem: Problem) -> dict[str, Fitted]:
    """Fit one machine per level, each predicting by itself or with the scores of the levels above added."""
    start = time.perf_counter()
    taxonomy = problem.taxonomy
    words = make_vectorizer().fit(problem.train.known(0).texts)
    fitted = [_fit_level(words, problem, level) for level in range(taxonomy.n_levels)]
    settings = {"C": dict(zip(taxonomy.levels, (c for _, c in fitted), strict=True))}
    seconds = time.perf_counter() - start

    def scores(texts: list[str]) -> list[Scores]:
        inputs = words.transform(texts)
        return [score(inputs) for score, _ in fitted]

    return {
        "svm_per_level": Fitted(lambda texts: _highest(scores(texts)), seconds, settings),
        "svm_parent_score": Fitted(lambda texts: _highest(_add_parents(scores(texts), taxonomy)), seconds, settings),
    }


def fit_hiclass(problem: Problem, name: str, classifier: str) -> dict[str, Fitted]:
    """Fit a hiclass classifier on the samples labelled in full, and on all samples.

    hiclass accepts empty cells for unknown labels: the local classifier of a node or level learns from the samples that
    are known there.
    """
    try:
        import hiclass
    except ImportError as error:
        raise ConfigurationError(
            "hiclass is not installed: pip install 'nested-lightning[benchmarks]', or choose other --methods"
        ) from error
    kind = getattr(hiclass, classifier)
    return {
        name: _fit_hiclass(problem, kind, problem.train.known(-1)),
        f"{name}_all_rows": _fit_hiclass(problem, kind, problem.train.known(0)),
    }


METHODS: dict[str, Callable[[Problem], dict[str, Fitted]]] = {
    "svm_flat": fit_flat,
    "svm_per_level": fit_per_level,
    "hiclass_lcpn": lambda problem: fit_hiclass(problem, "hiclass_lcpn", "LocalClassifierPerParentNode"),
    "hiclass_lcpl": lambda problem: fit_hiclass(problem, "hiclass_lcpl", "LocalClassifierPerLevel"),
}
"""Methods that share their fitting are one entry."""


def make_vectorizer() -> TfidfVectorizer:
    """Return the features of all methods except the networks: words and word pairs, counts damped by a logarithm.

    Words and pairs that occur in a single text are left out. On DBPedia these are four fifths of all pairs; without
    them the predictions are as good, and memory and time a third.
    """
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)


class SoftmaxSVC(LinearSVC):  # type: ignore[misc]  # scikit-learn is not typed
    """A machine with probabilities, as hiclass chooses among the children of a prediction by their order."""

    def predict_proba(self, inputs: Any) -> Any:
        """Return a softmax over the distances [N, classes]."""
        return softmax(_margins(self, inputs), axis=1)


def _margins(machine: LinearSVC, inputs: Any) -> Scores:
    """Return the signed distances [N, classes]; scikit-learn gives one column for two classes."""
    margins: Scores = machine.decision_function(inputs)
    return np.stack([-margins, margins], axis=1) if margins.ndim == 1 else margins


def _choose(fit: Callable[[float], Candidate], accuracy: Callable[[Candidate], float]) -> tuple[Candidate, float]:
    """Return the best candidate on the validation samples, and its C; the smallest C if several are equal."""
    chosen, found = GRID[0], fit(GRID[0])
    highest = accuracy(found)
    for c in GRID[1:]:
        candidate = fit(c)
        if (correct := accuracy(candidate)) > highest:
            chosen, found, highest = c, candidate, correct
        del candidate  # machines of many words and classes take a gigabyte each
    return found, chosen


def _fit_level(words: TfidfVectorizer, problem: Problem, level: int) -> tuple[Callable[[Any], Scores], float]:
    """Fit the machine of a level on all samples known there; return its scores as a function of the inputs, and its C.

    Scores are [N, n_classes], -inf for a class without a training sample.
    """
    train, validation = problem.train.known(level), problem.validation.known(level)
    inputs, held_out = words.transform(train.texts), words.transform(validation.texts)

    def score(machine: LinearSVC, inputs: Any) -> Scores:
        scores = np.full((inputs.shape[0], problem.taxonomy.sizes[level]), -np.inf)
        scores[:, machine.classes_] = _margins(machine, inputs)
        return scores

    machine, c = _choose(
        lambda c: LinearSVC(C=c, random_state=0).fit(inputs, train.targets[:, level]),
        lambda machine: float((score(machine, held_out).argmax(axis=1) == validation.targets[:, level]).mean()),
    )
    return lambda inputs: score(machine, inputs), c


def _highest(scores: Sequence[Scores]) -> Indices:
    """Return the best class of each level [N, n_levels]."""
    return np.stack([of_level.argmax(axis=1) for of_level in scores], axis=1)


def _add_parents(scores: Sequence[Scores], taxonomy: Taxonomy) -> list[Scores]:
    """Add to the score of each class that of its parent, coarse to fine.

    With log-softmax over the level instead of distances the predictions would be the same: it subtracts the same number
    from all classes of a level.
    """
    summed = [scores[0]]
    for level in range(1, taxonomy.n_levels):
        summed.append(scores[level] + summed[-1][:, taxonomy.parents(level).numpy()])
    return summed


def _fit_hiclass(problem: Problem, kind: Callable[..., Any], train: Samples) -> Fitted:
    start = time.perf_counter()
    words = make_vectorizer().fit(train.texts)
    inputs = words.transform(train.texts)
    # Numbers, as names may occur under two parents.
    labels = np.where(train.targets < 0, "", train.targets.astype(str))
    validation = problem.validation.known(-1)

    def predict(model: Any, texts: list[str]) -> Indices:
        found = np.asarray(model.predict(words.transform(texts)))
        return np.where(found == "", "-1", found).astype(np.int64)

    model, c = _choose(
        lambda c: kind(local_classifier=SoftmaxSVC(C=c, random_state=0)).fit(inputs, labels),
        lambda model: float((predict(model, validation.texts)[:, -1] == validation.targets[:, -1]).mean()),
    )
    return Fitted(lambda texts: predict(model, texts), time.perf_counter() - start, {"C": c})
