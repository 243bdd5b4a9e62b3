"""Which keys of the configuration do not go together; what each may be by itself is for `checks`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jaxshift import checks
from jaxshift.errors import InputError

if TYPE_CHECKING:  # config calls this module
    from jaxshift.config import Experiment, Run, World


CUTS = ('fsdp', 'tensor', 'sequence')  # axes of the mesh that do not only deal rows


def check(experiment: Experiment, only: tuple[str, ...]) -> None:
    """Checks the keys of an experiment against each other; `only` are the runs that are worked on.

    Raises:
      InputError: names the first key at fault and what to do.
    """
    if not experiment.base.source:
        raise InputError('config.base.source is empty; name the base model, for example dir:PATH or hf:OWNER/NAME')
    if not experiment.runs:
        raise InputError('config.runs is empty; add at least one run')
    for name, run in experiment.runs.items():
        _name(name)
        checks.one_of(f'config.runs.{name}.method', run.method, ('lora', 'full', 'pretrain', 'given'))
        _run(f'config.runs.{name}', run)
    if experiment.world:
        _world(experiment.world)
    _quantized(experiment, only)
    _sweep(experiment)
    if experiment.evaluate.tasks:
        checks.no_doubles('config.evaluate.tasks', experiment.evaluate.tasks)
    if experiment.causes.retrain and 'borrowing' not in experiment.causes.analyses:
        raise InputError('config.causes.retrain is set, but config.causes.analyses lacks borrowing; add it there')
    _data(experiment)
    _treatments(experiment)
    _devices(experiment)
    _judge(experiment)
    checks.no_doubles('config.sheet.annotators', experiment.sheet.annotators)
    for name in experiment.sheet.annotators:
        if name == 'key' or not name.replace('-', '_').isidentifier():
            raise InputError(f'config.sheet.annotators has {name!r}; it names a file: use letters, digits, _ and -')


def _name(name: str) -> None:
    if name == 'base':
        raise InputError('config.runs has the name base, which is that of the model before tuning; choose another')
    if not name.replace('-', '_').isidentifier():
        raise InputError(f'config.runs has the name {name!r}; it names a folder: use letters, digits, _ and -')


def _run(key: str, run: Run) -> None:
    checks.patterns(f'{key}.rank_pattern', run.rank_pattern, int)
    checks.patterns(f'{key}.alpha_pattern', run.alpha_pattern, float)
    if 0 < run.max_steps < run.min_steps:
        raise InputError(f'{key}.max_steps is {run.max_steps}, below min_steps {run.min_steps}; change one of them')
    if any(step < 1 for step in run.keep_steps):
        raise InputError(f'{key}.keep_steps is {run.keep_steps}; steps count from 1, before it stands the base')
    if run.method == 'given' and not run.source:
        raise InputError(f'{key}.source is empty; name the tuned model, for example dir:PATH')


def _quantized(experiment: Experiment, only: tuple[str, ...]) -> None:
    base = experiment.base
    if base.double_quantization and base.quantize != 'nf4':
        raise InputError(
            f'config.base.double_quantization is True, but config.base.quantize is {base.quantize!r}; only nf4 has '
            'scales of blocks'
        )
    for name in only:
        method = experiment.runs[name].method
        if base.quantize and method in ('full', 'pretrain'):
            raise InputError(
                f'config.base.quantize is {base.quantize!r}, but run {name} (method {method}) trains all weights, '
                'which a quantised base cannot; leave it empty, or name the other runs with --only'
            )


def _world(world: World) -> None:
    if world.hidden_size % (2 * world.heads):
        # Rotary embeddings turn pairs of numbers, so a head has an even width.
        raise InputError(
            f'config.world.hidden_size is {world.hidden_size}; it must be a multiple of twice heads, {2 * world.heads}'
        )
    if world.heads % world.kv_heads:
        raise InputError(f'config.world.kv_heads is {world.kv_heads}; heads, {world.heads}, must be a multiple of it')
    checks.one_of('config.world.pretraining.method', world.pretraining.method, ('pretrain',))
    if world.pretraining.eval_every:
        raise InputError('config.world.pretraining.eval_every must be 0: the encyclopaedia is read whole')
    if world.pretraining.treatment:
        raise InputError('config.world.pretraining.treatment must be empty: the encyclopaedia is read as it is')
    _run('config.world.pretraining', world.pretraining)


def _sweep(experiment: Experiment) -> None:
    sweep, respond = experiment.sweep, experiment.respond
    first, second = sweep.marginal_above, sweep.shifted_above
    if not 1 <= first <= second:
        raise InputError(f'config.sweep.shifted_above is {second}; need 1 <= marginal_above ({first}) <= shifted_above')
    checks.no_doubles('config.sweep.context_lengths', sweep.context_lengths)
    for length in sweep.context_lengths:
        if length != -1 and length < 1:
            raise InputError(f'config.sweep.context_lengths has {length}; give prompt tokens, or -1 for all of them')
    if sweep.steps:
        checks.no_doubles('config.sweep.steps', sweep.steps)
        if all(run.method == 'given' for run in experiment.runs.values()):
            raise InputError('config.sweep.steps names checkpoints, but no run is trained here; leave it out')
    if sweep.shared_from:
        checks.one_of('config.sweep.shared_from', sweep.shared_from, (*experiment.runs, 'base'))
    if respond.samples > 1 and respond.temperature == 0:
        raise InputError(
            f'config.respond.samples is {respond.samples}, but with temperature 0 they are all the same; '
            'set respond.temperature above 0'
        )
    drawn = [name for name, plain in (('top_k', 0), ('top_p', 1)) if getattr(respond, name) != plain]
    if drawn and respond.temperature == 0:
        raise InputError(
            f'config.respond.{drawn[0]} is {getattr(respond, drawn[0])}, but with temperature 0 nothing is drawn; '
            'set respond.temperature above 0'
        )
    if '' in respond.stop:
        raise InputError('config.respond.stop has an empty text, which every response holds; leave it out')


def _devices(experiment: Experiment) -> None:
    process, mesh = experiment.process, experiment.mesh
    host, _, port = process.coordinator.rpartition(':')
    if process.coordinator and not (host and port.isdecimal()):
        raise InputError(f'config.process.coordinator is {process.coordinator!r}; write HOST:PORT')
    if 0 < process.count <= process.index:
        raise InputError(f'config.process.index is {process.index}; it counts from 0 to {process.count - 1}')
    if experiment.sweep.spmd == 'pmap' and (cut := [axis for axis in CUTS if getattr(mesh, axis) != 1]):
        raise InputError(
            f'config.sweep.spmd is pmap, which needs all parameters on every device, but config.mesh.{cut[0]} is '
            f'{getattr(mesh, cut[0])}; set it to 1, or spmd to jit'
        )


def _data(experiment: Experiment) -> None:
    data, prompts = experiment.data, experiment.prompts
    mixed = [item.rpartition('@')[0] for item in data.mixture]
    repeated = [item for item in data.mixture if float(item.rpartition('@')[2]) > 1]
    if data.held_out and repeated:
        raise InputError(
            f'config.data.held_out is {data.held_out}, but config.data.mixture takes {repeated[0]}: '
            'copies of a record that is held out would be trained on; take weights up to 1'
        )
    if len(set(mixed)) < len(mixed) or data.source in mixed:
        raise InputError('config.data.mixture has a source that is given before; name it once, with its weight')
    if 'world:' in (experiment.base.source, data.source, prompts.source, *mixed) and experiment.world is None:
        raise InputError('a source is world:, but config.world is not set; start from configs/demo.py')
    for name, run in experiment.runs.items():
        if run.eval_every and not data.held_out:
            raise InputError(
                f'config.runs.{name}.eval_every is {run.eval_every}, but config.data.held_out is 0; hold examples out'
            )
        if run.method == 'given':
            continue
        if not data.source and not mixed:
            raise InputError(f'config.data.source is empty, but run {name} trains; give file:PATH')
        if run.method == 'pretrain' and not prompts.source:
            raise InputError(
                f'config.prompts.source is empty, but run {name} trains on plain text, which asks nothing; give '
                'the prompts to compare on, file:PATH'
            )
    if not data.source and not mixed and not prompts.source:
        raise InputError('config.prompts.source is empty; give the prompts to compare on, file:PATH')


def _treatments(experiment: Experiment) -> None:
    for name, asked in experiment.treatments.items():
        key = f'config.treatments.{name}'
        if not name.replace('-', '_').isidentifier():
            raise InputError(f'{key}: it names a folder: use letters, digits, _ and -')
        if not (asked.source or asked.score or asked.simplify):
            raise InputError(f'{key} changes nothing; set its source, score or simplify')
        if asked.score and not re.fullmatch('(column|file):.+|judge:|world:', asked.score):
            raise InputError(f'{key}.score is {asked.score!r}; give column:NAME, file:PATH, judge: or world:')
        if asked.min_score and not asked.score:
            raise InputError(f'{key}.min_score is {asked.min_score}, but score is empty; say where scores come from')
        if 'world:' in (asked.source, asked.score) and experiment.world is None:
            raise InputError(f'{key} has world:, but config.world is not set; start from configs/demo.py')
        if (asked.score == 'judge:' or asked.simplify == 'endpoint') and not experiment.judge.model:
            raise InputError(f'config.judge.model is empty; {key} asks the endpoint of config.judge')
    for name, run in experiment.runs.items():
        if run.treatment:
            checks.one_of(f'config.runs.{name}.treatment', run.treatment, ('', *experiment.treatments))
            if run.method == 'given':
                raise InputError(f'config.runs.{name}.treatment is {run.treatment}, but the run was tuned elsewhere')


def _judge(experiment: Experiment) -> None:
    judge = experiment.judge
    if judge.name and not judge.name.replace('-', '_').isidentifier():
        raise InputError(f'config.judge.name is {judge.name!r}; it names a file: use letters, digits, _ and -')
    # Not shown: what is no name may be the key itself. Small letters are refused: hf_... and gsk_... are keys.
    if judge.key_variable and not re.fullmatch('[A-Z_][A-Z0-9_]*', judge.key_variable):
        raise InputError(
            'config.judge.key_variable is no name of an environment variable in capitals; give the name of the one '
            'that holds the key, never the key'
        )
    if re.search(r'//[^/]*@|\?', judge.base_url):
        raise InputError(
            'config.judge.base_url holds a user or a query, which experiment.json would show; give the address alone, '
            'and the key in the environment'
        )
    needed = {'endpoint': 'model', 'local': 'source', 'file': 'source'}.get(judge.kind, 'kind')
    if judge.kind and not getattr(judge, needed):
        raise InputError(f'config.judge.{needed} is empty; kind {judge.kind} needs it, see --help')
    if judge.kind == 'oracle' and experiment.world is None:
        raise InputError('config.judge.kind is oracle, but config.world is not set; start from configs/demo.py')
    if judge.max_cost and not judge.input_price and not judge.output_price:
        raise InputError(
            f'config.judge.max_cost is {judge.max_cost}, but nothing costs anything; set input_price and output_price'
        )
    if judge.pairwise:
        checks.one_of('config.judge.pairwise', judge.pairwise, (*experiment.runs, 'base'))
        checks.one_of('config.judge.kind', judge.kind, ('endpoint', 'local'))
    try:
        re.compile(judge.safety)
    except re.error as error:
        raise InputError(f'config.judge.safety is {judge.safety!r}; give a regular expression ({error})') from error
