"""The built-in source ``"digits"``."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datasets


def load_digits() -> "datasets.Dataset":
    """Return scikit-learn's 1,797 digits, 8x8 grey; their values 0..16 are scaled to 0..255."""
    import datasets
    import numpy as np
    from PIL import Image
    from sklearn import datasets as sklearn_datasets

    images, labels = sklearn_datasets.load_digits(return_X_y=True)
    pixels = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    names = [str(digit) for digit in range(10)]
    return datasets.Dataset.from_dict(
        {"image": [Image.fromarray(image) for image in pixels], "label": labels.tolist()},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}),
    )
