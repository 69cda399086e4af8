"""The rows of a table of every key that a training's configuration has, from the settings themselves."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ccella_core.training.train_autoencoder import AutoencoderConfigFile
from ccella_core.training.train_config import TrainConfig
from ccella_core.training.train_text_encoder import TextEncoderConfigFile

CONFIGURATIONS: dict[str, type[BaseModel]] = {
    "train denoiser": TrainConfig,
    "train autoencoder": AutoencoderConfigFile,
    "train text-encoder": TextEncoderConfigFile,
}


def rows(model: type[BaseModel], prefix: str = "", defaults: Any = None) -> list[str]:
    """A line a key; those of a section after it, with dots."""
    lines = []
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True) if defaults is None else getattr(defaults, name)
        section = next((each for each in parts_of(field.annotation) if is_settings(each)), None)
        has_own_line = section is None or field.description is not None
        if has_own_line:
            shown = "required" if field.is_required() and defaults is None else f"`{_words(default)}`"
            lines.append(f"| `{prefix}{name}` | {shown} | {meaning(field)} |")
        if section is not None:
            given = default if isinstance(default, BaseModel) else None
            lines += rows(section, f"{prefix}{name}.", given)
    return lines


def meaning(field: FieldInfo) -> str:
    """Its description, and what it may be where that is one of a few words."""
    choices = [word for each in parts_of(field.annotation) if get_origin(each) is Literal for word in get_args(each)]
    said = [field.description or "", ", ".join(f"`{word}`" for word in choices)]
    return ": ".join(part for part in said if part)


def parts_of(annotation: Any) -> tuple[Any, ...]:
    """Of a union, its members but None; otherwise the annotation itself."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(each for each in get_args(annotation) if each is not NoneType)
    return (annotation,)


def is_settings(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _words(default: Any) -> str:
    if default is None or isinstance(default, BaseModel):
        return "none"
    if isinstance(default, (tuple, list)):
        return f"[{', '.join(_words(each) for each in default)}]"
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)
