"""How the report writes numbers."""

from __future__ import annotations

from typing import Any

_NOTHING = 2.0**-52  # what rounding leaves of figures near 1 that are the same


def number(value: Any) -> str:
    """A number to three digits, whole numbers in full with thousands apart; an absent one is a dash."""
    if value is None:
        return '–'
    if isinstance(value, int):
        return f'{value:,}'
    if abs(value) < _NOTHING:
        value = 0.0
    return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:#.3g}'.removesuffix('.')


def counted(count: int, thing: str) -> str:
    """How many of a thing: '1 prompt', '2 prompts'."""
    return f'{count:,} {thing}' if count == 1 else f'{count:,} {thing}s'
