"""Prompt templates: "{}" stands for the placeholder."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import InversionError

#: What a picture of a thing may be called. One of them is used for all candidates at a time.
TEMPLATES = (
    "a photo of a {}",
    "a rendering of a {}",
    "a close-up photo of a {}",
    "a cropped photo of the {}",
    "a good photo of a {}",
    "a picture of the {}",
    "the photo of a {}",
    "a bright photo of the {}",
)


def checked_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """The templates.

    Raises:
        InversionError: When there is none, or one has no place for the placeholder.
    """
    found = (templates,) if isinstance(templates, str) else tuple(templates)
    strange = [text for text in found if not isinstance(text, str) or "{}" not in text]
    if strange or not found:
        raise InversionError(
            "Expected prompt templates with {} where the placeholder goes, such as 'a photo of a "
            f"{{}}', got {strange[0] if strange else 'none'!r}."
        )
    return found


def filled(template: str, placeholder: str) -> str:
    """The prompt of a template."""
    return template.replace("{}", placeholder)
