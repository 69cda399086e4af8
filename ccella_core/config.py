"""Checked configuration: what settings derive from, and how they are read from YAML, JSON and the command line."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from ccella_core.errors import InputError, ModelError, each_once, pydantic_words, yaml_words
from ccella_core.files import read_text, usable_path
from ccella_core.limits import NUM_SEEDS

if TYPE_CHECKING:
    import yaml


class StrictModel(BaseModel):
    """Unknown keys are errors, numbers are finite, paths can exist, and what was checked does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _paths_can_exist(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: usable_path(each) if isinstance(each, Path) else each for key, each in value.items()}
        return usable_path(value) if isinstance(value, Path) else value


Config = TypeVar("Config", bound=BaseModel)


# YAML reads a bare `no` as false.
MixedPrecision = Annotated[
    Literal["no", "auto", "fp16", "bf16"], BeforeValidator(lambda value: "no" if value is False else value)
]


Seed = Annotated[int, Field(ge=0, lt=NUM_SEEDS)]
MOST_STEPS = 10**8
"""More than a year of a graphics card's."""
Steps = Annotated[int, Field(gt=0, le=MOST_STEPS)]
"""Of an optimiser, or between two events."""
BatchSize = Annotated[int, Field(gt=0, le=2**16)]
Side = Annotated[int, Field(gt=0, le=4096)]  # voxels along an axis
MaxTokens = Annotated[int, Field(gt=0, le=2**16)]
"""To which reports are padded or cut."""
LearningRate = Annotated[float, Field(gt=0, le=1)]
"""Of AdamW, which moves every weight by about as much at each step."""
Power = Annotated[float, Field(gt=0, le=100)]
"""Of a decay."""
Weight = Annotated[float, Field(ge=0, le=1e6)]
"""Of a part of a loss."""


def read_settings(
    model: type[Config],
    file: Path | None,
    overrides: Sequence[str] = (),
    *,
    preset_name: str | None = None,
    presets: Callable[[str], dict[str, Any]] | None = None,
) -> Config:
    """As ``read_config``, for any model. ``presets`` gives what a preset says, where there are any."""
    content = _read_yaml(file) if file is not None else {}
    if presets is not None:
        base = preset_name or content.get("preset")
        content.pop("preset", None)
        if base is not None:
            content = merged(presets(str(base)), content)
    return _with_overrides(model, content, overrides)


def _with_overrides(model: type[Config], content: dict[str, Any], overrides: Sequence[str]) -> Config:
    for override in overrides:
        content = merged(content, _parsed_override(override))
    return checked(model, content, "The configuration")


def checked(model: type[Config], content: dict[str, Any], what: str) -> Config:
    """``content`` as a ``model``; InputError naming every key that does not fit otherwise."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{what} cannot be used: {sentence_of(error, model)}.") from error


def as_yaml(config: StrictModel) -> str:
    """The settings as a YAML file that ``read_settings`` reads back."""
    import yaml

    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


MOST_CHARACTERS_OF_SETTINGS = 1 << 20
"""Of a YAML file: a thousand times the longest; PyYAML needs seconds for it."""
MOST_BRACKETS = 64  # one inside the other


def read_yaml(text: str) -> Any:
    """What a YAML text holds.

    Raises:
        ValueError: it is no YAML, is nested too deeply, far too long, names a key twice, or repeats a part by an alias,
            of which a few make more than any memory holds.
    """
    import yaml

    if len(text) > MOST_CHARACTERS_OF_SETTINGS:
        raise ValueError(f"it is longer than {MOST_CHARACTERS_OF_SETTINGS} characters")
    try:
        return yaml.load(text, _yaml_loader())
    except yaml.reader.ReaderError as error:
        raise ValueError("it holds characters that no text has") from error
    except yaml.YAMLError as error:
        raise ValueError(yaml_words(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # of PyYAML's converters
        raise ValueError("a date or number in it is none; put texts in quotation marks") from error


@lru_cache
def _yaml_loader() -> type[yaml.SafeLoader]:
    import yaml

    class Loader(yaml.SafeLoader):
        def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
            if self.flow_level >= MOST_BRACKETS:  # PyYAML's time grows with the square of the depth
                raise yaml.YAMLError("it is nested too deeply")
            super().fetch_flow_collection_start(token)

        def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError(f"the alias *{self.peek_event().anchor}: write the part out")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if twice := {key for key in keys if keys.count(key) > 1}:
                raise yaml.YAMLError(f"the key {min(twice)} stands twice")
            return super().construct_mapping(node, deep)

        # As in YAML 1.2: in 1.1, which PyYAML reads, 1:30 is 90 and 012 is 10.
        def construct_yaml_int(self, node: yaml.ScalarNode) -> int | str:
            return int(node.value) if re.fullmatch(r"[-+]?\d+", node.value) else str(node.value)

        def construct_yaml_float(self, node: yaml.ScalarNode) -> float | str:
            return str(node.value) if ":" in node.value else super().construct_yaml_float(node)

    for kind, construct in (("int", Loader.construct_yaml_int), ("float", Loader.construct_yaml_float)):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", construct)
    return Loader


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        content = read_yaml(read_text(file))
    except FileNotFoundError as error:
        raise InputError(f"There is no configuration {file}.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as YAML: {getattr(error, 'strerror', None) or error}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} holds no keys and values.")
    return content


def _parsed_override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"{text!r} is no override; write key=value, for instance denoiser.batch_size=4.")
    try:
        content: Any = read_yaml(value)
    except ValueError as error:
        raise InputError(f"The value in {text[:MOST_CHARACTERS_GIVEN]!r} is not YAML: {error}.") from error
    for part in reversed(key.strip().split(".")):
        content = {part: content}
    return content


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """``below`` with what ``above`` says over it, section by section."""
    both = dict(below)
    for key, value in above.items():
        inside = both.get(key)
        both[key] = merged(inside, value) if isinstance(inside, dict) and isinstance(value, dict) else value
    return both


def sentence_of(error: ValidationError, model: type[Any] | None = None, *, private: bool = False) -> str:
    """What pydantic found wrong, as one line: where and why, nothing of its own words about types and addresses.

    Args:
        error: of the validation.
        model: that was validated, from whose keys the nearest to an unknown one is named.
        private: what was given is left out, because it may be a report.
    """
    return "; ".join(shortened(_problems(error, model, private=private), PROBLEMS_IN_A_MESSAGE))


def _problems(error: ValidationError, model: type[Any] | None, *, private: bool = False) -> list[str]:
    found: list[dict[str, Any]] = [{**each, "loc": _keys(each["loc"])} for each in error.errors(include_url=False)]
    # Of a section or list with a wrong entry the entry is named alone: the rest follows from it, or is another type
    # that it could have had.
    inner = [each for each in found if not any(_is_inside(other["loc"], each["loc"]) for other in found)]
    return list(dict.fromkeys(_explained(each, model, private=private) for each in inner))


def _keys(place: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Without pydantic's names for the types that a value may have."""
    return tuple(part for part in place if isinstance(part, int) or not re.search(r"[\[(]", part))


def _is_inside(place: tuple[str | int, ...], other: tuple[str | int, ...]) -> bool:
    return len(place) > len(other) > 0 and place[: len(other)] == other


def _explained(problem: dict[str, Any], model: type[Any] | None, *, private: bool) -> str:
    place = ".".join(str(part)[:MOST_CHARACTERS_GIVEN] for part in problem["loc"])
    if problem["type"] == "missing":
        last = problem["loc"][-1]
        if isinstance(last, int):
            return f"entry {last + 1} of {place.rpartition('.')[0]} is missing"
        return f"{place} is missing"
    if problem["type"] == "extra_forbidden":
        near = _nearest_key(problem["loc"], model) if model is not None else None
        return f"there is no key {place}" + (f"; did you mean {near}" if near else "")
    why, given = pydantic_words(problem), repr(problem["input"])
    if not place:
        return why
    is_short = not private and not isinstance(problem["input"], dict) and len(given) <= MOST_CHARACTERS_GIVEN
    return f"{place}: {why} (got {given})" if is_short else f"{place}: {why}"


def _nearest_key(place: tuple[str | int, ...], model: type[Any]) -> str | None:
    section: Any = model
    for part in place[:-1]:
        if part not in section.model_fields:
            continue  # a place in a list or a mapping; the step before found the model of its items
        annotation = section.model_fields[part].annotation
        # An optional section is a union of it and None.
        section = next((each for each in (annotation, *get_args(annotation)) if hasattr(each, "model_fields")), None)
        if section is None:
            return None
    near = difflib.get_close_matches(str(place[-1]), section.model_fields, n=1)
    return near[0] if near else None


MOST_CHARACTERS_GIVEN = 60  # of what was given, in a message: a longer text would hide the reason
PROBLEMS_IN_A_MESSAGE = 8  # all that a person makes at once
NAMES_IN_A_MESSAGE = 3  # enough to see the pattern, short enough to stay one sentence


_HALF_A_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")


def read_json(text: str | bytes) -> Any:
    """What a JSON text holds.

    Raises:
        ValueError: it is no JSON, too deep, says a thing twice, or holds half of a character, which nothing can hold.
    """
    try:
        content = json.loads(text, object_pairs_hook=each_once)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if _HALF_A_CHARACTER.search(text if isinstance(text, str) else text.decode("utf-8", "replace")):
        json.dumps(content, ensure_ascii=False).encode()  # two halves that belong together are one again
    return content


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a UTF-8 file; ModelError in one sentence otherwise."""
    try:
        content = read_json(read_text(path))
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing; is {path.parent} a whole model?") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise ModelError(f"{path} is not JSON ({error}); get the model again.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no JSON object; get the model again.")
    return content


def validated(model_class: type[Config], content: dict[str, object], path: Path) -> Config:
    """`content` as a `model_class`; ModelError naming the first fields that do not fit, and the file, otherwise."""
    try:
        return model_class.model_validate(content)
    except ValidationError as error:
        problems = shorten(_problems(error, model_class))
        raise ModelError(f"{path} does not fit this version of ccella-core ({problems}).") from error


def shorten(names: list[str]) -> str:
    """The first few of `names`, and how many more there are."""
    return ", ".join(shortened(names, NAMES_IN_A_MESSAGE))


def shortened(names: list[str], most: int) -> list[str]:
    """The first of `names`, and at the end how many more there are."""
    more = len(names) - most
    return [*names[: most - 1], f"{names[most - 1]} and {more} more"] if more > 0 else names
