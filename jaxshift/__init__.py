"""jaxshift: what did tuning do to my model?

In Python `jaxshift.compare(base, tuned, prompts)` and `jaxshift.load(workdir)` give a `Comparison`; see `api`. They are
imported when they are first asked for, because JAX takes seconds.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxshift.api import Comparison, compare, load

__all__ = ['Comparison', 'compare', 'load']


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}; it has {", ".join(__all__)}')
    from jaxshift import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
