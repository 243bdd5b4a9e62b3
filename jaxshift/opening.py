"""What is told before the devices work: the base, and what each run trains, on how much, and what it holds."""

from __future__ import annotations

from jaxshift import tuning
from jaxshift.devices.chips import chip
from jaxshift.errors import InputError
from jaxshift.llama.config import LlamaConfig
from jaxshift.plan import capacity
from jaxshift.plan.table import size
from jaxshift.study import Study
from jaxshift.terminal import table
from jaxshift.tune.step import recipe
from jaxshift.tune.train import parameters, schedule

HEADINGS = ('run', 'method', 'trains', 'of all', 'examples', 'tokens', 'steps', 'holds a device')


def tell(study: Study, mode: str) -> None:
    """Prints the base, and a line a run. Nothing is compiled or loaded; what is not known yet is a dash.

    Memory is what a run holds before its first step: parameters and, where it trains, the optimizer's state.
    `--mode=plan` knows what a step takes on top.
    """
    config, memory = tuning.base_config(study), chip(list(study.mesh.devices.flat))
    kept = study.experiment.base.quantize or study.experiment.base.dtype
    study.say(f'the base is {study.experiment.base.source}, {config.parameters:,} parameters in {kept}')
    study.say(f'memory: {size(memory.memory)} a device, {memory.source}')
    table([HEADINGS, *(row(study, name, config, mode in ('run', 'train')) for name in study.only)])


def row(study: Study, name: str, config: LlamaConfig, trains: bool) -> tuple[str, ...]:
    """A line below `HEADINGS`; tokens are those of one pass over the data."""
    run = study.experiment.runs[name]
    trained = share = examples = tokens = steps = holds = '–'
    try:
        holds = size(capacity.needed_bytes(study.experiment, name, trains, config, study.mesh))
        if run.method != 'given':
            count = parameters(recipe(run, config, study.experiment.base.dtype))
            trained, share = f'{count:,}', f'{100 * count / config.parameters:.3g} %'
            data, _ = tuning.training_data(study, run.treatment)
            examples, tokens = f'{len(data):,}', f'{int(data.lengths.sum()):,}'
            steps = f'{schedule(run, data).steps:,}'
    except InputError:  # the stage that needs it says what is wrong
        pass
    return name, run.method, trained, share, examples, tokens, steps, holds
