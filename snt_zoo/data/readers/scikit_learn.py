"""Reads the image set that ships with scikit-learn: nothing is downloaded.

Of its bundled sets only `digits` is a labelled set of images (1,797 of 8 × 8; its two sample
photographs have no classes, and the faces are downloads).
"""

from __future__ import annotations

import numpy as np
import torch

from snt_zoo.data.dataset import Split
from snt_zoo.data.reader import RawDataset, ReadOptions, register_reader
from snt_zoo.data.stores import ArrayStore
from snt_zoo.errors import DatasetNotFoundError

# The digits are counts of set pixels in blocks of 4 × 4.
_DIGITS_MAX = 16


@register_reader("sklearn")
def read_sklearn(ref: str, options: ReadOptions) -> RawDataset:
    """Reads ``digits``, scaled to 0 … 255.

    Raises:
        DatasetNotFoundError: Another name is asked for.
    """
    del options  # the images are known to be good and small
    if ref.casefold() != "digits":
        raise DatasetNotFoundError(f"scikit-learn ships no image set named {ref!r}, only digits")
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / _DIGITS_MAX)).astype(np.uint8)
    labels = torch.from_numpy(digits.target.astype(np.int64))
    split = Split(ArrayStore(torch.from_numpy(pixels)), labels)
    return RawDataset("digits", tuple(map(str, digits.target_names)), {"train": split})
