"""What all parts of a site have in common."""

from collections.abc import Mapping
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, PrivateAttr, model_validator

from pangeo_hpc.site.fields import FrozenDict, Line, Variable, Word

T = TypeVar("T")


class Part(BaseModel):
    """A mapping of the YAML: frozen, and without any key it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        """Take a known key without a value as if its line were not there."""
        if not isinstance(value, Mapping):
            return value
        known = {field.alias or name for name, field in cls.model_fields.items()}
        return {key: item for key, item in value.items() if item is not None or key not in known}


class Entry(Part):
    """A part that is known by the key it stands under."""

    _name: str = PrivateAttr("")

    @property
    def name(self) -> str:
        """Return the key of this entry in the YAML."""
        return self._name

    def called(self, name: str) -> Self:
        """Return the same entry under a name."""
        copy = self.model_copy()
        copy._name = name  # noqa: SLF001 - of our own kind
        return copy


E = TypeVar("E", bound=Entry)


def _freeze(mapping: Mapping[str, T]) -> Mapping[str, T]:
    return FrozenDict(mapping)


def _freeze_named(mapping: Mapping[str, E]) -> Mapping[str, E]:
    return FrozenDict({name: entry.called(name) for name, entry in mapping.items()})


Lookup = Annotated[Mapping[Word, T], AfterValidator(_freeze)]
Entries = Annotated[Mapping[Word, E], AfterValidator(_freeze_named)]
Variables = Annotated[Mapping[Variable, Line], AfterValidator(_freeze)]
EMPTY: FrozenDict[Any, Any] = FrozenDict()
