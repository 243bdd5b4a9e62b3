"""What is told before the devices work: the base, and what each run trains, on how much, and what it holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from jaxshift import tuning
from jaxshift.config import Run
from jaxshift.data import dataset
from jaxshift.devices.chips import chip
from jaxshift.errors import InputError
from jaxshift.llama.config import LlamaConfig
from jaxshift.plan import capacity
from jaxshift.plan.table import size
from jaxshift.study import MADE_HERE, Study
from jaxshift.terminal import table
from jaxshift.tune.step import recipe
from jaxshift.tune.train import parameters, schedule

HEADINGS = ('run', 'method', 'trains', 'of all', 'examples', 'tokens', 'in loss', 'steps', 'at least')


def tell(study: Study, mode: str) -> None:
    """Prints the base, and a line a run. Nothing is compiled or loaded; what is not known yet is a dash.

    Memory is what a run holds of parameters and, where it trains, of the optimizer's state. `--mode=plan` knows what a
    step takes on top.
    """
    config, memory = tuning.base_config(study), chip(list(study.mesh.devices.flat))
    kept = study.experiment.base.quantize or study.experiment.base.dtype
    study.say(f'the base is {study.experiment.base.source}, {config.parameters:,} parameters in {kept}')
    study.say(f'memory: {size(memory.memory)} a device, {memory.source}; weights and optimizer take of it at least:')
    rows = [row(study, name, config, mode) for name in study.only]
    if study.experiment.base.source == MADE_HERE and mode in ('run', 'train'):
        documents = partial(dataset.open_dataset, study.workdir.data / 'pretraining')
        rows = [('the base', *_trained(study, study.world.pretraining, config, documents), '–'), *rows]
    table([HEADINGS, *rows])


def row(study: Study, name: str, config: LlamaConfig, mode: str) -> tuple[str, ...]:
    """A line below `HEADINGS`."""
    try:
        held = size(capacity.needed_bytes(study.experiment, name, mode, config, study.mesh))
    except InputError:  # the stage that needs it says what is wrong
        held = '–'
    run = study.experiment.runs[name]
    return name, *_trained(study, run, config, lambda: tuning.training_data(study, run.treatment)[0]), held


def _trained(study: Study, run: Run, config: LlamaConfig, data: Callable[[], dataset.Dataset]) -> tuple[str, ...]:
    """Method, what is trained, and on what: the examples and tokens of all steps, and the share that the loss is on."""
    trained = share = examples = tokens = lost = steps = '–'
    try:
        if run.method != 'given':
            count = parameters(recipe(run, config, study.experiment.base.dtype))
            trained, share = f'{count:,}', f'{100 * count / config.parameters:.3g} %'
            read = data()
            plan = schedule(run, read)
            lengths = [plan.lengths(step) for step in range(plan.steps)]
            examples, tokens = f'{sum(map(len, lengths)):,}', f'{sum(int(each.sum()) for each in lengths):,}'
            lost = f'{100 * read.counts["trained_tokens"] / read.counts["tokens"]:.3g} %'
            steps = f'{plan.steps:,}'
    except InputError:  # the stage that needs it says what is wrong
        pass
    return run.method, trained, share, examples, tokens, lost, steps
