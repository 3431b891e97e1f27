"""The names that people give to splits: `train`, `training_set`, `Test Data`, `val2017`, `dev`."""

from __future__ import annotations

import re

from snt_zoo.data.reader import SplitName

_WORDS: dict[SplitName, str] = {
    "train": r"train|training|trn",
    "val": r"val|valid|validate|validation|dev|development|eval|evaluation",
    "test": r"test|tests|testing|tst|holdout|heldout",
}
_BESIDE = r"pred|predict|prediction|predictions|unlabell?ed|extra"
_FILLER = (
    r"(?:sets?|data|datasets?|images?|imgs?|photos?|pictures?|pics?|samples?|files?|folder|split|part|v)"
)


def split_name(name: str) -> SplitName | None:
    """The split that a folder or a part of that name holds, by the usual names.

    Example:
        >>> split_name("Training Set"), split_name("val2017"), split_name("training wheels")
        ('train', 'val', None)
    """
    text = "".join(_letters(name))
    return next(
        (split for split, words in _WORDS.items() if re.fullmatch(f"{_FILLER}*(?:{words}){_FILLER}*", text)),
        None,
    )


def split_within(name: str) -> tuple[str, str] | None:
    """The split that a part of a name speaks of, and what else is in the name.

    Splits that have no labels, such as `pred`, count as well.

    Example:
        >>> split_within("seg_train"), split_within("testB"), split_within("cat")
        (('train', 'seg'), ('test', 'b'), None)
    """
    words = _letters(name)
    splits: list[tuple[str, str]] = [*_WORDS.items(), ("none", _BESIDE)]
    for i, word in enumerate(words):
        for split, spellings in splits:
            if re.fullmatch(f"(?:{spellings}){_FILLER}*", word):
                rest = [word for word in words[:i] + words[i + 1 :] if not re.fullmatch(_FILLER, word)]
                return split, " ".join(rest)
    return None


def _letters(name: str) -> list[str]:
    """The words of a name in small letters, without numbers: `trainA` has two."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W\d_]+", parted.casefold())
