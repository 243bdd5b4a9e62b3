"""The fields of a config.json, each read with its type and named where it is wrong."""

from __future__ import annotations

import math

from jaxshift.errors import InputError

FIX = 'take the config.json that came with the weights'


class Fields:
    """The fields of a JSON object; what is wrong with one is said with the file, its name and its value."""

    def __init__(self, values: dict, where: str):
        self.values, self.where = values, where

    def wrong(self, key: str, expected: str) -> InputError:
        return InputError(f'{self.where}: field {key!r} is {self.values.get(key)!r}; it must be {expected}; {FIX}')

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number above 0; without a default the field must be there."""
        return float(self._above_zero(key, default, (int, float), 'a number above 0'))

    def size(self, key: str, default: int | None = None) -> int:
        """A whole number above 0; without a default the field must be there."""
        return self._above_zero(key, default, (int,), 'a whole number above 0')

    def flag(self, key: str) -> bool:
        """True or false; false where the field is missing."""
        value = self.values.get(key)
        if type(value) not in (bool, type(None)):
            raise self.wrong(key, 'true or false')
        return bool(value)

    def ids(self, key: str) -> tuple[int, ...]:
        """Token ids: one, a list of them, or none."""
        value = self.values.get(key)
        ids = value if isinstance(value, list) else [] if value is None else [value]
        if any(type(each) is not int or each < 0 for each in ids):
            raise self.wrong(key, 'a token id or a list of them')
        return tuple(ids)

    def rope(self) -> Fields:
        """The fields of the rotary embedding, in either spelling."""
        key = 'rope_parameters' if self.values.get('rope_parameters') else 'rope_scaling'
        if not isinstance(self.values.get(key) or {}, dict):
            raise self.wrong(key, 'an object')
        return Fields(self.values.get(key) or {}, f'{self.where}: {key}')

    def _above_zero(self, key: str, default, types: tuple[type, ...], expected: str):
        value = default if self.values.get(key) is None else self.values[key]
        if value is None:
            raise InputError(f'{self.where}: field {key!r} is missing; {FIX}')
        if type(value) not in types or not 0 < value < math.inf:
            raise self.wrong(key, expected)
        return value
