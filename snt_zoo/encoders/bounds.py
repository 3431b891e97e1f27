"""Bounds of a sketch, for those who must know them without torch."""

SIZE_LIMIT = 200_000
"""Most bytes of its file."""

NAME_BYTES = 16_000
"""Most bytes of all class names together."""
