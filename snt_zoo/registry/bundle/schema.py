"""`config.json` of a bundle, format 1: what it must hold, and within which bounds.

These pydantic models are the edge to a file that anybody may have written: unknown fields, wrong
types, NaN, unbounded texts and characters that could rewrite a terminal are refused, each with the
path of the field. Inside, `NetworkConfig` and `Genotype` are used; both ways of the conversion are
here.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from snt_zoo.data import Normalisation
from snt_zoo.errors import ConfigError, SntZooError
from snt_zoo.formats.strict_json import dump_json, parse_json
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.supernet import MAX_CLASSES, NetworkConfig
from snt_zoo.registry.bundle.fields import (
    MAX_COUNT,
    Count,
    Date,
    Key,
    Line,
    Name,
    Prose,
    Setting,
    Share,
)
from snt_zoo.registry.bundle.folder import CONFIG_LIMIT

# strict=False lets a JSON array, a list in Python, become a tuple; its items stay strict.
Triple = Annotated[tuple[float, float, float], Field(strict=False)]
EdgeEntry = Annotated[tuple[Count, Count, Key], Field(strict=False)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class NormalisationEntry(_Entry):
    """Mean and deviation of each channel, for pixels in [0, 1]."""

    mean: Triple
    std: Triple


class NetworkEntry(_Entry):
    """A `NetworkConfig` with every hyperparameter spelled out; three input channels are implied."""

    space: Key
    hyperparameters: Annotated[dict[Key, Count], Field(max_length=32)]
    num_classes: Annotated[int, Field(ge=2, le=MAX_CLASSES)]
    input_size: Annotated[int, Field(ge=8, le=512)]
    normalisation: NormalisationEntry
    heads: Annotated[
        tuple[Annotated[int, Field(ge=2, le=MAX_CLASSES)], ...], Field(strict=False, max_length=256)
    ] = ()

    @classmethod
    def of(cls, network: NetworkConfig) -> NetworkEntry:
        """The entry of a network's config."""
        return cls.model_validate(network.to_json())

    def to_network(self) -> NetworkConfig:
        """The config that a network is built from."""
        return NetworkConfig(
            space=self.space,
            hyperparameters=dict(self.hyperparameters),
            num_classes=self.num_classes,
            input_size=self.input_size,
            normalisation=Normalisation(self.normalisation.mean, self.normalisation.std),
            heads=self.heads,
        )

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data = dump(self)
        return _without_defaults({**data, "heads": list(data["heads"])}, heads=[])

    @model_validator(mode="after")
    def _can_be_built(self) -> NetworkEntry:
        try:
            space = self.to_network().build_space()
        except SntZooError as error:  # an UnknownComponentError is no ValueError
            raise ValueError(str(error)) from error
        missing = sorted(set(space.hyperparameters()) - set(self.hyperparameters) - set(space.added_later))
        if missing:  # a default that changes one day must not change this network
            raise ValueError(f"hyperparameters lack {', '.join(missing)}: every one must be given")
        return self


class GenotypeEntry(_Entry):
    """`Genotype.to_json()`."""

    space: Key
    cells: Annotated[
        dict[Key, Annotated[tuple[EdgeEntry, ...], Field(strict=False, max_length=256)]],
        Field(max_length=16),
    ]

    @classmethod
    def of(cls, genotype: Genotype) -> GenotypeEntry:
        """The entry of a genotype."""
        return cls.model_validate(genotype.to_json())

    def to_genotype(self) -> Genotype:
        """The genotype; whether it fits its space shows when a network is built."""
        return Genotype.from_json(self.model_dump())


class Metrics(BaseModel):
    """Accuracies of the derived network, from 0 to 1, and any further figures."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)
    __pydantic_extra__: dict[Key, float]

    val_accuracy: Share | None
    test_accuracy: Share | None


class Source(_Entry):
    """One dataset that the supernet was trained on."""

    name: Annotated[Line, Field(min_length=1)]
    source: Line
    licence: Line
    licence_url: Line | None
    classes: Annotated[int, Field(ge=2, le=MAX_CLASSES)]
    train_images: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    fingerprint: Key
    attribution: Line | None = None
    val_accuracy: Share | None = None
    test_accuracy: Share | None = None

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_defaults(dump(self), attribution=None, val_accuracy=None, test_accuracy=None)


class Training(_Entry):
    """How the supernet came to be."""

    datasets: Annotated[tuple[Source, ...], Field(strict=False, min_length=1, max_length=256)]
    epochs: Count
    seconds: Annotated[float, Field(ge=0)]
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)]
    code_version: Line
    torch_version: Line
    date: Date
    recipe: Annotated[dict[Key, Setting], Field(max_length=256)]
    parent: Line | None


class BundleConfig(_Entry):
    """Everything of a bundle that is not a tensor.

    Make one with `BundleConfig.from_data`, which raises errors of this package.
    """

    format_version: Literal[1] = 1
    name: Name
    description: Prose
    network: NetworkEntry
    class_names: Annotated[tuple[Line, ...], Field(strict=False, max_length=MAX_CLASSES)]
    dtype: Literal["float32", "float16"]
    genotype: GenotypeEntry
    params: Count
    macs: Count
    supernet_params: Count
    supernet_macs: Count
    metrics: Metrics
    training: Training
    licence: Prose
    tags: Annotated[tuple[Key, ...], Field(strict=False, max_length=64)]
    backbone: Annotated[Line, Field(min_length=1, max_length=200)]
    encoder: Annotated[Line, Field(min_length=1, max_length=200)]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> BundleConfig:
        if len(self.class_names) != self.network.num_classes:
            raise ValueError(
                f"class_names must hold network.num_classes = {self.network.num_classes} names, "
                f"got {len(self.class_names)}"
            )
        sizes = tuple(source.classes for source in self.training.datasets)
        if self.network.heads and self.network.heads != sizes:
            raise ValueError(
                f"network.heads must be the classes of training.datasets, {list(sizes[:8])}, got "
                f"{list(self.network.heads[:8])}"
            )
        if self.genotype.space != self.network.space:
            raise ValueError(
                f"genotype.space must be network.space = {self.network.space!r}, got {self.genotype.space!r}"
            )
        return self

    @property
    def source_licences(self) -> dict[str, str]:
        """The licence of each dataset that it was trained on, by name; without those that state none."""
        return {data.name: data.licence for data in self.training.datasets if data.licence.strip()}

    @property
    def source_credits(self) -> dict[str, str]:
        """`source_licences`, each with the line that the licence asks for."""
        lines = {data.name: data.attribution for data in self.training.datasets}
        return {
            name: licence if lines[name] is None else f"{licence}; {lines[name]}"
            for name, licence in self.source_licences.items()
        }

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> BundleConfig:
        """Validate plain data; nested entries may be dicts or entries, sequences lists or tuples.

        Raises:
            ConfigError: one line with the path of the first wrong field and what was expected.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise ConfigError(_first_problem(error)) from error

    @classmethod
    def from_bytes(cls, raw: bytes) -> BundleConfig:
        """The content of a `config.json`; raises `ConfigError`."""
        data = parse_json(raw, what="config.json", limit=CONFIG_LIMIT)
        version = data.get("format_version")
        if isinstance(version, int) and version > 1:
            raise ConfigError(
                f"config.json: format_version is {version}, this snt-zoo reads 1: upgrade snt-zoo"
            )
        return cls.from_data(data)

    def to_bytes(self) -> bytes:
        """The content of a `config.json`, the same for equal configs."""
        raw = dump_json(self.model_dump(mode="json"))
        if len(raw) > CONFIG_LIMIT:
            raise ConfigError(
                f"config.json would have {len(raw):,} bytes, {CONFIG_LIMIT:,} are allowed: "
                "shorten the class names or the description"
            )
        return raw


def _without_defaults(data: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """Without fields that came later and say nothing here: such a config has the bytes that it always had."""
    return {key: value for key, value in data.items() if key not in defaults or value != defaults[key]}


def _first_problem(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    first = problems[0]
    path = ".".join(str(part) for part in first["loc"]) or "the whole"
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = "unknown field, format 1 has none of that name: remove it"
    elif first["type"] == "missing":
        reason = "missing: this field is required"
    elif first["type"] != "value_error":
        reason = f"{reason}, got {ascii(first['input'])[:60]}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    # Keys are the file's own: nothing but plain characters of them reaches a terminal.
    return f"config.json: {ascii(path)[1:-1][:200]}: {reason}{more}".replace("\n", " ")
