"""Linear support vector machines on TF-IDF: what most would try first on text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from benchmarks.peers.fitted import Clock, Fitted, best
from benchmarks.peers.rows import Indices, Problem, Rows
from nested_lightning.taxonomy import Taxonomy

Scores = npt.NDArray[np.float64]


def vectorizer() -> TfidfVectorizer:
    """Return the features of all methods but the networks: words and pairs of words, counts damped by a logarithm.

    What stands in one row only is left out. On DBPedia that is four fifths of all pairs, and without them the answers
    are as good and memory and time a third.
    """
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)


@dataclass(frozen=True)
class LevelSVM:
    """One machine for the classes of one level, with the scores of all of them."""

    machine: LinearSVC
    n_classes: int

    def scores(self, inputs: Any) -> Scores:
        """Return the signed distances [N, n_classes]; -inf for a class without a training row."""
        margins = self.machine.decision_function(inputs)
        if margins.ndim == 1:  # scikit-learn gives one column for two classes
            margins = np.stack([-margins, margins], axis=1)
        scores = np.full((len(margins), self.n_classes), -np.inf)
        scores[:, self.machine.classes_] = margins
        return scores


def fit_level(words: TfidfVectorizer, problem: Problem, level: int) -> tuple[LevelSVM, float]:
    """Return the machine of a level, trained on every row known there, and its C."""
    train, validation = problem.train.known(level), problem.validation.known(level)
    inputs, held_out = words.transform(train.texts), words.transform(validation.texts)
    size = problem.taxonomy.sizes[level]

    def fit(c: float) -> LevelSVM:
        return LevelSVM(LinearSVC(C=c, random_state=0).fit(inputs, train.targets[:, level]), size)

    def accuracy(svm: LevelSVM) -> float:
        return float((svm.scores(held_out).argmax(axis=1) == validation.targets[:, level]).mean())

    return best(fit, accuracy)


def flat(problem: Problem) -> dict[str, Fitted]:
    """One machine for the finest level, coarser answers from the taxonomy; coarse rows are of no use to it."""
    clock = Clock()
    words = vectorizer().fit(problem.train.known(-1).texts)
    svm, c = fit_level(words, problem, problem.taxonomy.n_levels - 1)

    def answer(texts: list[str]) -> Indices:
        leaves = torch.from_numpy(svm.scores(words.transform(texts)).argmax(axis=1))
        return problem.taxonomy.lift(leaves, -1).numpy()

    return {"svm_flat": Fitted(answer, clock.seconds(), {"C": c})}


def per_level(problem: Problem) -> dict[str, Fitted]:
    """One machine per level, each answering by itself or with the scores of the levels above added."""
    clock = Clock()
    taxonomy = problem.taxonomy
    words = vectorizer().fit(known_rows(problem).texts)
    fitted = [fit_level(words, problem, level) for level in range(taxonomy.n_levels)]
    seconds, settings = clock.seconds(), {"C": dict(zip(taxonomy.levels, (c for _, c in fitted), strict=True))}

    def scores(texts: list[str]) -> list[Scores]:
        inputs = words.transform(texts)
        return [svm.scores(inputs) for svm, _ in fitted]

    return {
        "svm_per_level": Fitted(lambda texts: highest(scores(texts)), seconds, settings),
        "svm_parent_score": Fitted(lambda texts: highest(with_parents(scores(texts), taxonomy)), seconds, settings),
    }


def known_rows(problem: Problem) -> Rows:
    """Return the training rows that are labelled to any level."""
    return problem.train.known(0)


def highest(scores: Sequence[Scores]) -> Indices:
    """Return the best class of each level [N, n_levels]."""
    return np.stack([of_level.argmax(axis=1) for of_level in scores], axis=1)


def with_parents(scores: Sequence[Scores], taxonomy: Taxonomy) -> list[Scores]:
    """Add to the score of each class that of its parent, coarse to fine.

    With the logarithm of a softmax over the level in place of the distances the answers would be the same: it takes
    away the same number from all classes of a level.
    """
    summed = [scores[0]]
    for level in range(1, taxonomy.n_levels):
        summed.append(scores[level] + summed[-1][:, taxonomy.parents(level).numpy()])
    return summed
