"""The base of all models: what is unknown is refused, and what is broken does not hide what is beside it.

And what a key is called elsewhere: a `Property` is passed on as it is, so nothing but its field names it.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Self, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails

from .broken import BROKEN, attempt
from .problems import Refused, shorten


class Model(BaseModel):
    """Base of all models: unknown keys are errors, values do not change, docstrings describe fields (`schema` reads them).

    A value that is wrong and reported is `BROKEN` here, so that the rest can be checked beside it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    def together(self) -> Iterator[Refused]:
        """What is wrong with the values taken together, each of which is sound by itself."""
        yield from ()

    @model_validator(mode="after")
    def _together(self) -> Self:
        refused = [each for each in attempt(self.together()) if not _leads_to_broken(self, each.path)]
        refused += self._twice({each.path for each in refused})
        if refused:
            raise _invalid((tuple(step for step in each.path if step is not KEY), each) for each in refused)
        return self

    def _twice(self, known: Collection[tuple[Any, ...]]) -> Iterator[Refused]:
        """Texts that a list has twice, but for what has been told."""
        for name in sorted(self.model_fields_set):
            values, first = getattr(self, name), dict[str, int]()
            for index, value in enumerate(values if isinstance(values, tuple) else ()):
                if isinstance(value, str) and first.setdefault(value, index) != index and (name, index) not in known:
                    message = f'"{shorten(value)}" is there twice; entry {first[value]} is the same, keep one'
                    yield Refused(message, name, index)

    @field_validator("*", mode="wrap")
    @classmethod
    def _beside_what_is_broken(cls, value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        """Check what is not broken: all of a value, or what there is of a list or of a mapping by name."""
        if value is BROKEN:
            return value
        by_name = get_origin(cls.model_fields[str(info.field_name)].annotation) is dict
        if by_name and isinstance(value, dict):
            if not any(item is BROKEN or isinstance(key, Misnamed) for key, item in value.items()):
                return check(value)
            names = {
                f"misnamed-{place}" if isinstance(key, Misnamed) else key: key
                for place, (key, item) in enumerate(value.items())
                if item is not BROKEN
            }
            found = _known_of(check, {name: value[key] for name, key in names.items()}, names)
            known = {names[name]: item for name, item in found.items()} if found else {}
            return {str(key): known.get(key, BROKEN) for key in value}
        if isinstance(value, list) and any(item is BROKEN for item in value):
            places = dict(enumerate(place for place, item in enumerate(value) if item is not BROKEN))
            found = _known_of(check, [value[place] for place in places.values()], places)
            known = dict(zip(places.values(), found or (), strict=True))
            return tuple(known.get(place, BROKEN) for place in range(len(value)))
        return check(value)


class Misnamed(str):
    """A key that is no name, and reported; what it holds is checked all the same."""


def _known_of(check: ValidatorFunctionWrapHandler, known: Any, steps: Mapping[Any, Any]) -> Any:
    """What is known of a list or a mapping, checked; None when nothing is. `steps` leads from its paths to those in the whole."""
    try:
        return check(known)
    except ValidationError as error:
        faults = [fault for fault in error.errors() if fault["type"] != "too_short" or fault["loc"]]
        if not faults:
            return None
        paths = [
            (steps.get(fault["loc"][0], fault["loc"][0]), *fault["loc"][1:]) if fault["loc"] else () for fault in faults
        ]
        raise _invalid(zip(paths, faults, strict=True)) from None


def _leads_to_broken(value: Any, path: tuple[Any, ...]) -> bool:
    """Whether what a path is about is wrong by itself, and reported."""
    for step in path:
        value = value[step] if isinstance(value, dict | tuple) else getattr(value, str(step), None)
        if value is BROKEN:
            return True
    return False


def _invalid(faults: Iterable[tuple[tuple[Any, ...], Any]]) -> ValidationError:
    """What pydantic raises: faults, each a `Refused` or one of its own, at paths below the value that is validated."""
    return ValidationError.from_exception_data(
        "together",
        [
            InitErrorDetails(type="value_error", loc=path, input=None, ctx={"error": fault})
            if isinstance(fault, Refused)
            else InitErrorDetails(type=fault["type"], loc=path, input=fault["input"], ctx=fault.get("ctx", {}))
            for path, fault in faults
        ],
    )


KEY: Final = object()
"""Last step of a `Refused` path that is about a key rather than its value."""


@dataclass(frozen=True, slots=True)
class Property:
    """In a field's `Annotated`: the key is passed to Pulumi's provider, and read from Microsoft Graph, as it is.

    Both names are paths from the object, such as `web.homepage_url`. A field that holds a model gives its path to the keys of that
    model that name none.
    """

    provider: str | None = None
    """The provider's input, in snake case. Default: as in a file."""
    graph: str | None = None
    """The property in Microsoft Graph; empty where it cannot be read so. Default: the provider's, in camel case."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A `Property` of a model, in every place."""

    path: tuple[str, ...]
    """In a file, and in the component's arguments."""
    provider: tuple[str, ...]
    graph: str
    default: Any
    """What it is where a file does not say."""
    items: type[Model] | None
    """The model of its items, of which each `Property` is passed on."""


@cache
def plain(model: type[Model]) -> tuple[Plain, ...]:
    """Every `Property` of a model, and of the models that it holds, in their order."""
    return tuple(_plain(model, Plain((), (), "", None, None)))


def _plain(model: type[Model], holder: Plain) -> Iterator[Plain]:
    for key, field in model.model_fields.items():
        for named in (each for each in field.metadata if isinstance(each, Property)):
            own = (*holder.provider, key) if named.provider is None else tuple(named.provider.split("."))
            graph = named.graph
            if graph is None:
                steps = own if named.provider is not None else (*filter(None, [holder.graph]), key)
                graph = ".".join(map(camel, steps))
            held, listed = _held(field.annotation), get_origin(field.annotation) is tuple
            found = Plain((*holder.path, key), own, graph, field.default, held if listed else None)
            yield from _plain(held, found) if held and not listed else [found]


def _held(annotation: Any) -> type[Model] | None:
    """The model that a field is, or has as items."""
    return next(
        (each for each in (annotation, *get_args(annotation)) if isinstance(each, type) and issubclass(each, Model)),
        None,
    )


def camel(name: str) -> str:
    """A name in snake case in camel case."""
    return re.sub("_([a-z0-9])", lambda found: found[1].upper(), name)


def put(into: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a value in mappings of mappings, which are made where they are not there."""
    for step in path[:-1]:
        into = into.setdefault(step, {})
    into[path[-1]] = value
