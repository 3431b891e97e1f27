"""Every error that snt-zoo raises on purpose, by cause.

`SntZooError` is the base: catch it to catch them all. A subclass also inherits from the built-in
error of its kind, so that code which knows nothing of snt-zoo can handle it. A message says what was
expected, what was found and what to do next; the command line prints it as one line and exits with 1.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class SntZooError(Exception):
    """Base of every error that snt-zoo raises on purpose."""


def first_line(error: BaseException) -> str:
    """What a library's error says, in one line; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class SntZooWarning(UserWarning):
    """Something is not as it should be, and the work goes on without it."""


def warn(text: str) -> None:
    """Say so; the command line prints it as one line."""
    warnings.warn(text, SntZooWarning, stacklevel=3)


@contextlib.contextmanager
def leaving_out(what: str) -> Iterator[None]:
    """Inside, what is wrong with one supernet of many leaves that one out, with a warning.

    Args:
        what: its id, or where it is.
    """
    try:
        yield
    except (BundleError, RegistryError, HubError, OSError) as error:
        said = str(error)
        named = said if said.startswith(what) else f"{what}: {said}"
        warnings.warn(f"left out {named}", SntZooWarning, stacklevel=4)


class UnknownComponentError(SntZooError, LookupError):
    """No component (search space, reader, backbone, …) is registered under that name."""


class DeviceError(SntZooError, RuntimeError):
    """The device that was asked for is not there."""


class ExecutorError(SntZooError, RuntimeError):
    """Tasks cannot be run there, or one was killed."""


class BudgetError(SntZooError, ValueError):
    """A budget that cannot be read (`10m`, `90s`, `1h30m`) or that is too small for the work."""


class TimeLimitError(SntZooError, TimeoutError):
    """A computation did not end within the time that it was given."""


# ---- data ---------------------------------------------------------------------------------------


class DatasetError(SntZooError, ValueError):
    """A dataset cannot be used as it is."""


class DatasetNotFoundError(DatasetError, FileNotFoundError):
    """The path or the name leads to no dataset."""


class UnknownFormatError(DatasetError):
    """The path exists, but is in no format that snt-zoo reads."""


class TooFewClassesError(DatasetError):
    """A classification task needs at least two classes."""


class TooFewImagesError(DatasetError):
    """A class, or the dataset, has too few images to be split."""


class EmptySplitError(DatasetError):
    """A split is there, but holds no image."""


class LabelError(DatasetError):
    """Labels are missing, out of range, not whole numbers, or not one for each image."""


class UnreadableImageError(DatasetError):
    """A file that should be an image cannot be decoded."""


class OversizedImageError(DatasetError):
    """An image has more pixels, or a file more bytes, than the limit allows."""


class ReaderUnavailableError(DatasetError, ImportError):
    """A reader needs a package or a download that is not to be had here."""


# ---- bundles and the registry -------------------------------------------------------------------


class BundleError(SntZooError, ValueError):
    """A bundle is refused."""


class MissingFileError(BundleError):
    """A bundle lacks a file that it must hold."""


class ForbiddenFileError(BundleError):
    """A bundle holds a file that it must not hold (a pickle, a script, a link out of the folder)."""


class IntegrityError(BundleError):
    """A file of a bundle differs from what its manifest says."""


class ConfigError(BundleError):
    """`config.json` or `manifest.json` is not what format 1 says."""


class TensorError(BundleError):
    """The tensors in a bundle do not fit the network that its config describes."""


class NonFiniteError(TensorError):
    """A tensor in a bundle holds NaN or infinity."""


class RegistryError(SntZooError):
    """The registry cannot do what was asked."""


class NotInRegistryError(RegistryError, LookupError):
    """No supernet of that id is in the registry, or the prefix fits several."""


class AlreadyInRegistryError(RegistryError):
    """That supernet is in the registry already."""


class AliasError(RegistryError, ValueError):
    """That is no name for an alias or a tag, or the alias would name another bundle's version."""


class DamagedCatalogError(RegistryError):
    """The registry's database cannot be read; its bundles on the disk are not touched by that."""


class NewerRegistryError(RegistryError):
    """A newer snt-zoo wrote the registry."""


class ReadOnlyRegistryError(RegistryError):
    """The registry's folder may not be written to; it can be listed, shown and queried."""


class DiskFullError(RegistryError):
    """The disk of the registry is full, or takes no more of the user's files."""


class StoreFullError(RegistryError):
    """The registry may not grow beyond the limit that was set for it."""


class IndexMismatchError(RegistryError):
    """Vectors of different backbones or encoders would be compared."""


class StaleIndexError(RegistryError):
    """The file of the vector index is damaged, or not of this catalog; it is made anew."""


class NoMatchError(RegistryError):
    """No supernet in the registry meets the query's constraints."""


# ---- search -------------------------------------------------------------------------------------


class SearchError(SntZooError):
    """Pretraining, finetuning or deriving cannot go on."""


class ResumeError(SearchError):
    """There is nothing to resume, or it belongs to another run."""


class UnwritableError(SearchError, OSError):
    """A checkpoint cannot be written: the disk is full, or may not be written to."""


class DivergenceError(SearchError, ArithmeticError):
    """The loss or the weights are no longer numbers, or the loss is far above that of guessing."""


class OutOfMemoryError(SearchError, MemoryError):
    """Not even the smallest part of a batch fits into the memory of the device."""


class TeamError(SearchError, RuntimeError):
    """Processes that train one network together cannot go on."""


class InfeasibleError(SearchError, ValueError):
    """No network of the search space is as small or as cheap as was asked for."""


class ModelFolderError(SntZooError, ValueError):
    """A folder is not a saved model that snt-zoo can load."""


class ExportError(SntZooError, RuntimeError):
    """A network cannot be exported, or what was exported does not do what it did."""


class LatencyTableError(InfeasibleError, LookupError):
    """There is no table of latencies, it is damaged, or it has no row for a network: none is known to be
    quick enough.
    """


# ---- the Hugging Face Hub -----------------------------------------------------------------------


class HubError(SntZooError):
    """The Hub cannot do, or does not allow, what was asked."""


class HubUnavailableError(HubError, ConnectionError):
    """The Hub cannot be reached, or is not to be asked (`HF_HUB_OFFLINE`)."""


class HubNotFoundError(HubError, LookupError):
    """No such repository, revision or file on the Hub, or none that this token may see."""


class HubAccessError(HubError, PermissionError):
    """The token is missing, wrong, or may not do that."""


class HubConflictError(HubError):
    """Somebody else changed the repository meanwhile: nothing was pushed."""


class SignatureError(HubError):
    """A signature that is missing, not of its manifest, or not by that key; or a key that cannot be used."""


# ---- the retrieval service ----------------------------------------------------------------------


class ServiceError(SntZooError):
    """The service cannot be started, or cannot do what was asked."""


class RequestError(ServiceError, ValueError):
    """A request that says nothing which the service understands."""


class TooLargeError(ServiceError):
    """More was sent than the service takes."""


class BusyError(ServiceError):
    """The service has too much to do at the moment."""


class ServiceUnavailableError(ServiceError, ConnectionError):
    """The service cannot be reached, or did not answer in time."""


class ServiceAccessError(ServiceError, PermissionError):
    """The token is missing, wrong, or may not do that."""
