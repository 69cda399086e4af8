"""The names of the authors' checkpoints, beside ours: one explicit map, both ways."""

from __future__ import annotations

from ccella_core.networks.config import VARIANTS, Variant

# (ours, theirs), first match wins.
_ADAPTER = (
    ("adapter.time_embedding.", "ella.time_embedding."),
    ("adapter.time_to_latents.", "ella.connector.time_aware_linear."),
    ("adapter.text_projection.", "ella.connector.proj_in."),
    ("adapter.latents", "ella.connector.latents"),
    ("adapter.blocks.", "ella.connector.perceiver_blocks."),
    ("adapter.class_vote.", "classifier."),
)
_HEADS = {
    "per_block": ("adapter.class_heads.", "ella.connector.cascade_blocks."),
    "first": ("adapter.class_heads.0.", "ella.connector.classifier."),
    "shared": ("adapter.class_heads.0.", "ella.connector.classifier."),
    "last": ("adapter.class_heads.0.", "classifier."),
}


def _prefixes(variant: Variant) -> list[tuple[str, str]]:
    traits = VARIANTS[variant]
    # Without text the authors save the U-Net alone.
    rules = [("unet.", "unet." if traits.uses_text else "")]
    if traits.class_heads is not None:
        rules.append(_HEADS[traits.class_heads])
    return [*rules, *_ADAPTER]


def published_name(name: str, variant: Variant) -> str:
    """The name in the authors' checkpoint of one of our parameters.

    Raises:
        KeyError: the name belongs to none of our parameters.
    """
    for ours, theirs in _prefixes(variant):
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise KeyError(name)
