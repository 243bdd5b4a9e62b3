"""What a key of the configuration may be, taken by itself: its type and range. `consistency` holds keys together."""

from __future__ import annotations

import dataclasses
import math
import re
import typing

from jaxshift.errors import InputError

FORMATS = (
    'auto', 'alpaca', 'sharegpt', 'messages', 'prompt_completion', 'question_answer', 'tokenised', 'turns', 'text',
)  # fmt: skip
LINEAR_TARGETS = ('q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj')
# Keys are named by dataclass and field: the rules of a run are those of the world's pre-training too.
CHOICES = {
    'Base.dtype': ('bfloat16', 'float32'),
    'Base.quantize': ('', 'int8', 'nf4'),
    'Data.format': FORMATS,
    'Export.dtype': ('float32', 'bfloat16', 'float16'),
    'Data.template': ('auto', 'native', 'paper'),
    'Data.on_bad_record': ('error', 'skip'),
    'Prompts.format': FORMATS,
    'Run.schedule': ('cosine', 'linear', 'constant'),
    'Run.optimizer': ('adamw', 'adafactor'),
    'Treatment.simplify': ('', 'rules', 'endpoint'),
    'Sweep.compat': ('', 'aligntds'),
    'Sweep.spmd': ('jit', 'pmap'),
    'Judge.limit_name': ('max_tokens', 'max_completion_tokens'),
    'Judge.kind': ('', 'endpoint', 'local', 'oracle', 'file'),
    'Run.remat': ('none', 'nothing_saveable', 'dots_saveable'),
}
LISTS = {
    'Causes.analyses': (
        'truth',
        'style_tokens',
        'imitation',
        'borrowing',
        'uncertainty',
        'knowledge',
        'forgetting',
        'weights',
        'interpolation',
        'swaps',
        'dynamics',
    ),
    'Sweep.contexts': ('own', 'shared', 'reference', 'base'),
    'Sweep.templates': ('matched', 'native', 'urial'),
    'Run.targets': LINEAR_TARGETS,
}
# What each text of a list looks like: in words, and as a pattern.
PATTERNS = {
    'Data.mixture': ('SOURCE@WEIGHT, with a weight above 0', r'.+@(?=[\d.]*[1-9])\d*\.?\d+'),
    'Data.columns': ('FIELD=COLUMN', r'\w+=.+'),
    'Prompts.columns': ('FIELD=COLUMN', r'\w+=.+'),
    'Experiment.trackers': ('tensorboard or wandb, or nothing', 'tensorboard|wandb'),
}
AT_LEAST = {
    -1: ('Process.index', 'Evaluate.num_fewshot', 'Judge.temperature'),
    0: (
        'Experiment.seed', 'Data.limit', 'Prompts.limit', 'Run.min_steps', 'Run.max_steps', 'Run.micro_batch_size',
        'Run.weight_decay', 'Run.final_fraction', 'Run.seed', 'World.seed', 'Data.subset', 'Data.subset_seed',
        'Data.held_out', 'Run.neftune_alpha', 'Run.eval_every', 'Respond.temperature', 'Respond.top_k', 'Respond.seed',
        'Process.count', 'Judge.retries', 'Judge.backoff', 'Judge.max_calls', 'Judge.max_cost',
        'Judge.input_price', 'Judge.output_price',
        'Evaluate.limit', 'Evaluate.seed', 'Causes.interpolation_responses', 'Treatment.sentences',
        'Causes.swaps_prompts', 'Causes.dynamics_examples',
    ),
    1: (
        'Run.batch_size', 'Run.rank', 'Run.log_every', 'Run.checkpoint_every',
        'Respond.max_new_tokens', 'Respond.batch_size', 'Respond.samples', 'Sweep.batch_size', 'Sweep.chunk',
        'Sweep.top_k', 'Sweep.bootstrap', 'World.new_people', 'World.first_names', 'World.last_names',
        'World.vocabulary', 'World.documents', 'World.instructions', 'World.test_questions', 'World.hidden_size',
        'World.intermediate_size', 'World.layers', 'World.heads', 'World.kv_heads', 'Mesh.dcn', 'Process.timeout',
        'Judge.max_tokens', 'Judge.concurrency', 'Judge.batch_size', 'Evaluate.batch_size', 'Evaluate.bootstrap',
        'Export.shard_size', 'Export.verify_responses', 'Causes.style_tokens_least', 'Causes.weights_directions',
        'Causes.general_passages', 'Causes.knowledge_draws', 'Causes.advise_examples', 'Causes.advise_questions',
        'Sheet.prompts',
    ),
    2: (
        'World.known_people', 'World.values',  # half of the known people are tuned on, half are asked about
        'Data.max_length',  # the first token of a row is no target
        'Causes.borrowing_min_length',
    ),
    16: ('World.row_length',),  # the context, four rows, then holds the longest conversation
}  # fmt: skip
AT_MOST = {2**32 - 1: ('Run.seed', 'Respond.seed')}  # JAX makes its keys of 32 bits
ABOVE_ZERO = (
    'Run.learning_rate', 'Run.epochs', 'Run.clip', 'Run.alpha', 'Respond.top_p', 'Respond.repetition_penalty',
    'Judge.timeout', 'Causes.knowledge_temperature',
)  # fmt: skip
BELOW_ONE = ('Run.warmup', 'Run.dropout', 'Run.b1', 'Run.b2')
SHARES = (
    'World.new_share', 'World.gate', 'Respond.top_p', 'Causes.weights_epsilon', 'Causes.interpolation_restored',
    'Causes.swaps_budgets',
)  # fmt: skip

WORDS = {
    int: 'a whole number',
    float: 'a finite number',
    str: 'a text',
    bool: 'True or False',
    tuple[int, ...]: 'a tuple of whole numbers',
    tuple[str, ...]: 'a tuple of texts',
    tuple[float, ...]: 'a tuple of numbers',
}


def check(part, key: str = 'config') -> None:
    """Checks every value of a part of the configuration and of all parts below it.

    Raises:
      InputError: names the key, its value, and what it may be.
    """
    types = typing.get_type_hints(type(part))
    for field in dataclasses.fields(part):
        value, name = getattr(part, field.name), f'{key}.{field.name}'
        _check_type(name, value, types[field.name])
        if dataclasses.is_dataclass(value):
            check(value, name)
        elif isinstance(value, dict):
            for inner, section in value.items():
                _check_type(f'{name}.{inner}', section, typing.get_args(types[field.name])[1])
                check(section, f'{name}.{inner}')
        else:
            _check_range(name, value, f'{type(part).__name__}.{field.name}')


def one_of(key: str, value, known: tuple) -> None:
    """Refuses a value that is not known, and names those that are."""
    if value not in known:
        raise InputError(f'{key} is {value!r}; it can be {", ".join(str(each) or "empty" for each in known)}')


def some_of(key: str, values, known: tuple) -> None:
    """Refuses a list that is empty, or has a value that is not known, or one twice."""
    if not values:
        raise InputError(f'{key} is empty; name at least one of {", ".join(map(str, known))}')
    for value in values:
        one_of(key, value, known)
    no_doubles(key, values)


def no_doubles(key: str, values) -> None:
    """Refuses a list that is empty or has a value twice."""
    if not values:
        raise InputError(f'{key} is empty; name at least one value')
    if len(set(values)) < len(values):
        raise InputError(f'{key} names one twice: {", ".join(map(str, values))}')


def patterns(key: str, entries: tuple[str, ...], kind: type) -> tuple:
    """(regular expression, number) of each entry 'PATTERN=NUMBER'; refuses what is none, and numbers not above 0."""
    found = []
    for entry in entries:
        pattern, _, text = entry.rpartition('=')
        try:
            re.compile(pattern)
            number = kind(text)
        except (ValueError, re.error):
            number = 0
        if not (pattern and 0 < number < math.inf):
            raise InputError(
                f'{key} has {entry!r}; give a regular expression, = and {WORDS[kind]} above 0, for example q_proj=16'
            )
        found.append((pattern, number))
    if len(dict(found)) < len(found):
        raise InputError(f'{key} names one pattern twice: {", ".join(entries)}')
    return tuple(found)


def _check_type(key: str, value, kind) -> None:
    if not _is(value, kind):
        expected = WORDS.get(kind) or f'a {getattr(kind, "__name__", kind)}'
        raise InputError(f'{key} is {value!r}; it must be {expected}')


def _is(value, kind) -> bool:
    """Whether a value has an annotated type; a whole number will do for a float, but True is no number."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is float:
        return type(value) is int or (isinstance(value, float) and math.isfinite(value))
    if origin is None:
        return type(value) is kind
    if origin is dict:
        return isinstance(value, dict) and all(_is(name, inner[0]) for name in value)
    if origin is tuple:
        return isinstance(value, tuple | list) and all(_is(item, inner[0]) for item in value)
    return any(_is(value, each) for each in inner)


def _check_range(key: str, value, field: str) -> None:
    if field in CHOICES:
        one_of(key, value, CHOICES[field])
    if field in LISTS:
        some_of(key, value, LISTS[field])
    for item in value if field in PATTERNS else ():
        words, pattern = PATTERNS[field]
        if not re.fullmatch(pattern, item):
            raise InputError(f'{key} has {item!r}; write {words}')
    for least, fields in AT_LEAST.items():
        if field in fields and value < least:
            raise InputError(f'{key} is {value}; it must be at least {least}')
    for most, fields in AT_MOST.items():
        if field in fields and value > most:
            raise InputError(f'{key} is {value}; it must be at most {most}')
    if field in ABOVE_ZERO and value <= 0:
        raise InputError(f'{key} is {value}; it must be above 0')
    if field in BELOW_ONE and not 0 <= value < 1:
        raise InputError(f'{key} is {value}; it must be at least 0 and below 1')
    for item in value if isinstance(value, tuple | list) else (value,):
        if field in SHARES and not 0 <= item <= 1:
            raise InputError(f'{key} {"has" if item is not value else "is"} {item}; it must be between 0 and 1')
