"""The shape of the base, found without its weights."""

from __future__ import annotations

from pathlib import Path

from jaxshift.config import Experiment
from jaxshift.data import world_base
from jaxshift.errors import InputError
from jaxshift.llama.config import LlamaConfig, from_hf
from jaxshift.weights import gguf, known, source
from jaxshift.weights.json_files import read_json


def of_base(experiment: Experiment) -> LlamaConfig:
    """The config of the base that an experiment names.

    A `dir:` needs its config.json alone. Of `hf:` models those of `weights.known` are known, and nothing is fetched.

    Raises:
      InputError: it is not there, or not known.
    """
    text = experiment.base.source
    kind, _, rest = text.partition(':')
    if kind == 'world' and experiment.world is not None:
        return world_base.llama_config(experiment.world)
    if kind == 'dir':
        path = Path(rest).expanduser() / 'config.json'
        return from_hf(read_json(path), str(path))
    if kind == 'gguf':
        return gguf.File(Path(rest).expanduser()).config
    if kind == 'package':
        return source.open_source(text).config
    if rest in known.CONFIGS:
        return known.CONFIGS[rest]
    raise InputError(
        f'config.base.source {text!r}: its shape is not known here; fetch its config.json alone and give dir:PATH of '
        f'the folder, or name one of {", ".join(known.CONFIGS)}'
    )
