"""What goes wrong at the Hub, as errors of this package: one line each, with what to do next.

The client's own exceptions carry the request with its `Authorization` header, and may quote what a server
answered. They are not chained (`from None`), so that no traceback shows them; their redacted text is kept.
"""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterable, Iterator

from snt_zoo.errors import (
    HubAccessError,
    HubConflictError,
    HubError,
    HubNotFoundError,
    HubUnavailableError,
    SntZooError,
)
from snt_zoo.registry.hub.redaction import Secret, redact

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
_SHOWN = 300
_NO_XET = re.compile(r"\b(404|405|501)\b.*/xet-(read|write)-token/")
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextlib.contextmanager
def hub_failures(what: str, *, endpoint: str, secrets: Iterable[Secret] = ()) -> Iterator[None]:
    """Turn whatever the client raises inside into a `HubError`.

    Args:
        what: repository, or what else was asked for, for the message.
        endpoint: of the Hub.
        secrets: as in `redact`.

    Raises:
        HubUnavailableError: offline, no network, no answer in time, too many requests.
        HubNotFoundError: no such repository, revision or file.
        HubAccessError: the token may not do it.
        HubConflictError: the commit's parent is no longer the head.
        HubError: anything else.
    """
    try:
        yield
    except SntZooError:
        raise
    except Exception as error:
        secrets = tuple(secrets)
        raise _translate(error, what, redact(endpoint, secrets), secrets) from None


def _translate(error: Exception, what: str, endpoint: str, secrets: tuple[Secret, ...]) -> HubError:
    from huggingface_hub import errors

    if (found := _of_disk(error)) is not None:
        return HubError(
            f"{what}: the folder for downloads cannot be written ({found.strerror}): make room there, or set "
            "HF_HOME to another folder"
        )
    if _wants_xet(error):
        return HubError(
            f"{what}: {endpoint} has no Xet storage, which was asked for: set HF_HUB_DISABLE_XET=1 and try "
            "again"
        )
    if isinstance(error, errors.OfflineModeIsEnabled) or _is_offline(error):
        return HubUnavailableError(
            f"{what}: HF_HUB_OFFLINE is set, and it is not in the cache: unset it, or ask for a revision "
            "that was pulled before"
        )
    if isinstance(error, errors.GatedRepoError):
        return HubAccessError(f"{what}: its owner has to grant access: ask on its page, then {LOG_IN}")
    if isinstance(error, errors.RepositoryNotFoundError):
        return HubNotFoundError(
            f"{what}: no such repository on {endpoint}, or a private one: check the name, or {LOG_IN}"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return HubNotFoundError(f"{what}: no such branch, tag or commit: check the part behind the @")
    if isinstance(error, errors.LocalEntryNotFoundError):
        return _unreachable(error.__cause__ or error, what, endpoint, secrets)
    if isinstance(error, errors.EntryNotFoundError):
        return HubNotFoundError(f"{what}: a file is missing: the repository was not pushed by snt-zoo")
    if isinstance(error, errors.HfHubHTTPError):
        return _of_status(error, what, endpoint, secrets)
    if isinstance(error, (OSError, *errors.HfHubHTTPError.__bases__)):
        return _unreachable(error, what, endpoint, secrets)
    return HubError(f"{what}: {endpoint} cannot be used: {_reason(error, secrets)}")


def _of_status(error: Exception, what: str, endpoint: str, secrets: tuple[Secret, ...]) -> HubError:
    status = int(getattr(getattr(error, "response", None), "status_code", 0))
    reason = _reason(error, secrets)
    if status == 412:
        return HubConflictError(
            f"{what}: somebody else changed it meanwhile, so nothing was pushed: look at the change, then "
            "push again"
        )
    if status in (401, 403):
        return HubAccessError(f"{what}: the token is missing, wrong, or may not do that: {LOG_IN} ({reason})")
    if status == 429:
        return HubUnavailableError(f"{what}: {endpoint} has had too many requests: wait a while ({reason})")
    if status >= 500:
        return HubUnavailableError(f"{what}: {endpoint} has a problem: try again later ({reason})")
    return HubError(f"{what}: {endpoint} refused: {reason}")


def _unreachable(
    error: BaseException, what: str, endpoint: str, secrets: tuple[Secret, ...]
) -> HubUnavailableError:
    return HubUnavailableError(
        f"{what}: cannot reach {endpoint}: check the network, and HF_ENDPOINT if it is set "
        f"({_reason(error, secrets)})"
    )


def _is_offline(error: Exception) -> bool:
    # A download wraps it, or reports a missing file of the cache.
    from huggingface_hub import constants, errors

    return isinstance(error, errors.LocalEntryNotFoundError) and constants.HF_HUB_OFFLINE


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came of."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__


def _of_disk(error: BaseException) -> OSError | None:
    """What is wrong with this machine's disk, if it is that."""
    return next((e for e in _chain(error) if isinstance(e, OSError) and e.errno in _DISK), None)


def _wants_xet(error: BaseException) -> bool:
    """Whether there is no route for a token of Xet: the client has no error of its own for it."""
    return any(_NO_XET.search(" ".join(str(one).split())) for one in _chain(error))


def _reason(error: BaseException, secrets: tuple[Secret, ...]) -> str:
    said = " ".join(redact(error, secrets).split()) or type(error).__name__
    return said if len(said) <= _SHOWN else said[: _SHOWN - 1] + "…"
