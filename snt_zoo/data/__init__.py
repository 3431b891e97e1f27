"""Labelled images, from where people have them, as one type of dataset.

`open_dataset` reads a folder of class folders, an `.npz` in MedMNIST's layout, or a name with a
prefix (`hf:`, `torchvision:`, `sklearn:`). A reader is one file in `readers/` that registers
itself; `splits` makes the splits that a source lacks, `batches` feeds a network once and `Stream` without
end.
"""

from snt_zoo.data import readers
from snt_zoo.data.augmentation import Augmentation
from snt_zoo.data.balanced import BalancedStream
from snt_zoo.data.batches import batches
from snt_zoo.data.dataset import ImageDataset, Split
from snt_zoo.data.decoding import decode_image
from snt_zoo.data.image_store import ImageStore
from snt_zoo.data.normalisation import Normalisation
from snt_zoo.data.opening import open_dataset
from snt_zoo.data.reader import list_readers, register_reader
from snt_zoo.data.rendering import Rendering
from snt_zoo.data.stream import Stream

__all__ = [
    "Augmentation",
    "BalancedStream",
    "ImageDataset",
    "ImageStore",
    "Normalisation",
    "Rendering",
    "Split",
    "Stream",
    "batches",
    "decode_image",
    "list_readers",
    "open_dataset",
    "readers",
    "register_reader",
]
