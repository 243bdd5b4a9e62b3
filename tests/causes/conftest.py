import json

import numpy as np
import pytest
from commandline import TINY, start
from planted import SPAN
from transformers import AutoTokenizer

from jaxshift.store import jsonl


@pytest.fixture
def planted(copy):
    """A workdir in which another tool has answered for run full: each answer holds a piece of a row of the data."""
    path = copy / 'runs/full/responses.jsonl'
    words, answers = AutoTokenizer.from_pretrained(copy / 'base'), jsonl.read(path)
    rng, records_of = np.random.default_rng(0), json.loads((copy / 'data/world/instructions.json').read_text())
    for number, answer in enumerate(answers):
        piece = words(records_of[number]['output'], add_special_tokens=False)['input_ids'][8 : 8 + SPAN]
        around = rng.integers(100, 180, (2, 6)).tolist()
        answer['token_ids'] = [*around[0], *piece, *around[1], words.eos_token_id]
        answer['response'] = words.decode(answer['token_ids'][:-1])
    jsonl.write(path, answers)
    (copy / 'done/respond-full.json').unlink()
    ended = start(*TINY, '--only=full', f'--workdir={copy}', '--mode=sweep')
    assert ended.code == 0, ended.err
    return copy
