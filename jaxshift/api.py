"""The Python interface: two models compared by the stages of the command line, and the results of a workdir."""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import pyarrow as pa
import pyarrow.compute as pc
from jax.experimental.compilation_cache import compilation_cache

from jaxshift import asking, saving, settings, start
from jaxshift.asking import RUN
from jaxshift.devices.process import StopSignal
from jaxshift.errors import InputError
from jaxshift.explain import pieces
from jaxshift.report import notebook
from jaxshift.shift import records, summary
from jaxshift.store import jsonl, paths
from jaxshift.study import Study

if TYPE_CHECKING:
    import pandas as pd

ORDER = ('context', 'template', 'context_length', 'step', 'example_id', 'position')  # of the rows of `tokens`


@dataclass(frozen=True)
class Comparison:
    """A base and one run that was tuned from it, compared at every position of every response.

    Attributes:
      workdir: the folder with the files of the study.
      run: the name of the run.
      runs: those of the workdir that have been compared; `load` takes any of them.
    """

    workdir: Path
    run: str
    runs: tuple[str, ...]
    _temporary: tempfile.TemporaryDirectory | None = field(default=None, repr=False)

    @cached_property
    def summaries(self) -> list[dict[str, Any]]:
        """The objects of summary.json: one for each context, template, context length and step."""
        return summary.read(self._files.run(self.run) / 'summary.json')

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The object of the windows that the report shows, the plain ones if they were compared.

        Under 'all' and 'without_end' it has means with intervals: summary['all']['kl_tuned_base']['mean'], in nats.
        """
        return summary.of_windows(self.summaries, self._windows)[0]

    @property
    def tokens(self) -> pd.DataFrame:
        """The token records: a row for each position of each response and window, all measures, lists as arrays.

        Rows of the same windows stand together, by example_id, as text, and position.
        """
        columns = {name: self._records[name] for name in ORDER if name in self._records.column_names}
        # Arrow does not sort what is kept as the numbers of a dictionary's texts.
        plain = {
            name: column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
            for name, column in columns.items()
        }
        order = pc.sort_indices(pa.table(plain), sort_keys=[(name, 'ascending') for name in plain])
        return self._records.take(order).to_pandas()

    @cached_property
    def pieces(self) -> list[str]:
        """Token id to decoded text.

        Raises:
          InputError: the tokenizer is not where the study had it.
        """
        return self._study.pieces

    def show(self, example: str | int | None = None) -> notebook.View:
        """The response to one prompt, each token marked by its class; pointing at a token tells its measures.

        Args:
          example: its example_id; None: that of the greatest mean KL(tuned || base).

        Raises:
          InputError: there is no such example, or the tokenizer is not where the study had it.
        """
        rows = next(part for key, part in summary.groups(self._records) if self._windows.items() <= key.items())
        chosen = notebook.chosen(rows, None if example is None else str(example))
        texts = pieces.reader(self._study.tokenizer)(chosen['token_id'].to_pylist())
        name = chosen['example_id'][0].as_py()
        answered = {row['example_id']: row for row in jsonl.read(self._files.responses(self.run))}
        prompt = answered.get(name, {}).get('prompt') or ''
        title = f'{self.run}, {name}, {summary.described(self._windows)}'
        return notebook.view(chosen, texts, self.pieces, title, prompt)

    def save(self, folder: str | Path) -> Path:
        """Copies the report of the study into a folder; returns the path of its page.

        A folder that holds nothing but such a report gets this one instead.

        Raises:
          InputError: the study has no report, the folder holds other files, or it cannot be written.
        """
        if not (self._files.report / 'index.html').is_file():
            raise InputError(f'{self._files.report}: no report yet; write it by --mode=report --workdir={self.workdir}')
        return saving.copy(self._files.report, Path(folder).expanduser())

    def __repr__(self) -> str:
        kl = self.summary['all']['kl_tuned_base']['mean']
        told = '–' if kl is None else f'{kl:.4g}'
        return (
            f'<Comparison of run {self.run} in {self.workdir}: mean KL(tuned || base) {told} nats over '
            f'{self.summary["all"]["positions"]:,} positions; runs: {", ".join(self.runs)}>'
        )

    @property
    def _files(self) -> paths.Workdir:
        return paths.Workdir(self.workdir)

    @cached_property
    def _windows(self) -> dict[str, Any]:
        return summary.headline([self.summaries])

    @cached_property
    def _records(self) -> pa.Table:
        return records.read(self._files.run(self.run) / 'tokens')

    @cached_property
    def _study(self) -> Study:
        experiment = settings.recorded(self._files.experiment)
        only = tuple(name for name in (self.run,) if name in experiment.runs)
        return Study(experiment, self._files, only, StopSignal(), print)


def compare(
    base: str | Path,
    tuned: str | Path,
    prompts: str | Path | Iterable[str | list[dict[str, str]]],
    workdir: str | Path | None = None,
    **keys: Any,
) -> Comparison:
    """Lets the tuned model answer prompts, and compares both models at every position, as configs/compare.py does.

    Args:
      base: the model before tuning: a folder, or a source as in config.base.source.
      tuned: the model after it, likewise, or the folder of a PEFT LoRA adapter of the base.
      prompts: texts, or conversations as lists of messages, [{'role': 'user', 'content': ...}]; or a file, or a source
        as in config.prompts.source.
      workdir: where everything is written, so that the same call does only what is missing; None: a temporary folder
        that lives as long as the result.
      keys: of the config, a section as a dict: seed=1, respond={'max_new_tokens': 64}; or by their dotted names in a
        dict that is unpacked: **{'base.dtype': 'bfloat16'}.

    Raises:
      InputError: a model, a prompt or a key is at fault; one line says which, and what to do.
      Stopped: an interrupt arrived; with a named workdir the same call goes on from there.
    """
    temporary = tempfile.TemporaryDirectory(prefix='jaxshift-') if workdir is None else None
    folder = Path(temporary.name if temporary else str(workdir)).expanduser()
    if isinstance(prompts, str | Path):
        asking.check(prompts)
        asked = asking.experiment(base, tuned, prompts, keys)
    else:
        listed = asking.records(prompts)
        path = asking.place(listed, folder)
        asked = asking.experiment(base, tuned, path, keys)
        asking.write(path, listed)
    with _as_before():
        start.run(asked, folder, 'run', (RUN,), ['jaxshift.compare'])
    return Comparison(folder, RUN, (RUN,), temporary)


def load(workdir: str | Path, run: str = '') -> Comparison:
    """The comparison of a run in a workdir that was swept.

    Args:
      workdir: its folder.
      run: the name of the run; empty: the first of the config.

    Raises:
      InputError: it is no workdir, or has no such run that was compared.
    """
    files = paths.Workdir(Path(workdir).expanduser())
    first = [*settings.recorded(files.experiment).runs]
    found = {path.parent.name for path in files.run('').glob('*/summary.json')}
    runs = (*(name for name in first if name in found), *sorted(found.difference(first)))
    if not runs and (cells := sorted(path.name for path in (files.root / 'cells').glob('*') if path.is_dir())):
        raise InputError(f'{files.root}: a grid; give the folder of a cell, {files.root / "cells" / cells[0]} for one')
    if not runs:
        raise InputError(f'{files.run("")}: no run has a summary.json; run the sweep (--mode=sweep) first')
    if run and run not in runs:
        raise InputError(f'{files.run(run)}: no such run has been compared; there are {", ".join(runs)}')
    return Comparison(files.root, run or runs[0], runs)


@contextmanager
def _as_before() -> Iterator[None]:
    """Gives back what a start takes of the process: the handlers of signals, and JAX's compilation cache."""
    main = threading.current_thread() is threading.main_thread()  # a start elsewhere leaves signals alone
    handlers = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM) if main}
    cache = jax.config.values['jax_compilation_cache_dir']
    compilation_cache.reset_cache()  # JAX goes on with the first folder that it used, whatever it is told
    try:
        yield
    finally:
        for name, handler in handlers.items():
            if handler is not None:  # set from C: it cannot be set again
                signal.signal(name, handler)
        jax.config.update('jax_compilation_cache_dir', cache)
        compilation_cache.reset_cache()
