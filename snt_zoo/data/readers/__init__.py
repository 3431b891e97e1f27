"""The dataset readers, one a file; to import this package registers them all."""

from snt_zoo.data.readers import folder, hub, npz, scikit_learn, torchvision_datasets

__all__ = ["folder", "hub", "npz", "scikit_learn", "torchvision_datasets"]
