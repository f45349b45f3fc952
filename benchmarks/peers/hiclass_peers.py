"""Local classifiers of the library hiclass, with the same features and the same machine as the others.

Rows of less than full depth are given to hiclass as rows with empty cells, which it accepts: the classifier of a node
or level learns from the rows that are known there.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.svm import LinearSVC

from benchmarks.peers.fitted import Clock, Fitted, best
from benchmarks.peers.rows import Indices, Problem, Rows
from benchmarks.peers.svm import known_rows, vectorizer
from nested_lightning.errors import ConfigurationError


class SoftmaxSVC(LinearSVC):  # type: ignore[misc]  # scikit-learn is not typed
    """A machine with probabilities, by whose order alone hiclass chooses among the children of an answer."""

    def predict_proba(self, inputs: Any) -> Any:
        """Return a softmax over the distances [N, classes]."""
        margins = self.decision_function(inputs)
        return softmax(np.stack([-margins, margins], axis=1) if margins.ndim == 1 else margins, axis=1)


def per_parent_node(problem: Problem) -> dict[str, Fitted]:
    """One classifier per inner node, among its children."""
    return _both(problem, "hiclass_lcpn", _hiclass().LocalClassifierPerParentNode)


def per_level(problem: Problem) -> dict[str, Fitted]:
    """One classifier per level, whose answer is sought among the children of the answer above."""
    return _both(problem, "hiclass_lcpl", _hiclass().LocalClassifierPerLevel)


def _both(problem: Problem, name: str, kind: Callable[..., Any]) -> dict[str, Fitted]:
    full = _fit(problem, kind, problem.train.known(-1))
    return {name: full, f"{name}_all_rows": _fit(problem, kind, known_rows(problem))}


def _fit(problem: Problem, kind: Callable[..., Any], train: Rows) -> Fitted:
    clock = Clock()
    words = vectorizer().fit(train.texts)
    inputs = words.transform(train.texts)
    # Numbers, as names may stand under two parents.
    labels = np.where(train.targets < 0, "", train.targets.astype(str))
    validation = problem.validation.known(-1)

    def fit(c: float) -> Any:
        return kind(local_classifier=SoftmaxSVC(C=c, random_state=0)).fit(inputs, labels)

    def answer(model: Any, texts: list[str]) -> Indices:
        found = np.asarray(model.predict(words.transform(texts)))
        return np.where(found == "", "-1", found).astype(np.int64)

    def accuracy(model: Any) -> float:
        return float((answer(model, validation.texts)[:, -1] == validation.targets[:, -1]).mean())

    model, c = best(fit, accuracy)
    return Fitted(lambda texts: answer(model, texts), clock.seconds(), {"C": c})


def _hiclass() -> Any:
    try:
        import hiclass
    except ImportError as error:
        raise ConfigurationError(
            "hiclass is not installed: pip install 'hiclass>=5', or choose other methods by --methods"
        ) from error
    return hiclass
