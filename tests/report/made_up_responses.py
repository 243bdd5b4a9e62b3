"""A made-up workdir whose records are those of small made-up models, with texts that would break a careless page."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jaxshift.shift import records, summary
from jaxshift.store.paths import Workdir

END, HALF, REST = 0, 1, 2
PIECES = [
    '</s>', '\ufffd', '\ufffd', ' the', ' baker', ' lute', '.', '\n', '\t', ' however', ',', ' $5 İ',
    '</script><script>hacked()</script>', '<img src=x onerror=hacked()>', '\u2028', '\x1b]0;hacked\x07', '\u202edrow',
    ' <b onclick="hacked()">', '{{7*7}}', "';hacked();//",
]  # fmt: skip
K = 6


def reader(ids):
    """Token 1 begins a character that token 2 ends."""
    texts = [PIECES[token] for token in ids]
    for place in range(len(ids) - 1):
        if ids[place] == HALF and ids[place + 1] == REST:
            texts[place : place + 2] = ['中', '']
    return texts


def log_softmax(logits):
    top = max(logits)
    total = sum(np.exp(np.float64(value) - top) for value in logits)
    return [float(np.float64(value) - top - np.log(total)) for value in logits]


def position(rng, shift, token=None):
    """The measures of one position, by float64 loops; the emitted token is the tuned model's first choice, or given."""
    base = log_softmax(rng.normal(0, 3, len(PIECES)))
    tuned = log_softmax(np.array(base) + rng.normal(0, shift, len(PIECES)))
    order = {name: sorted(range(len(PIECES)), key=lambda i: (-values[i], i)) for name, values in
             (('base', base), ('tuned', tuned))}  # fmt: skip
    first = order['tuned'][0]
    token = first if token is None else token
    found = dict.fromkeys(records.MEASURES, 0.0) | {
        'token_id': token,
        'base_argmax_id': order['base'][0],
        'tuned_argmax_id': first,
        'base_rank': 1 + order['base'].index(first),
        'emitted_base_rank': 1 + order['base'].index(token),
        'emitted_tuned_rank': 1 + order['tuned'].index(token),
        'base_logprob': base[first],
        'tuned_logprob': tuned[first],
        'emitted_base_logprob': base[token],
        'emitted_tuned_logprob': tuned[token],
        'kl_tuned_base': sum(np.exp(t) * (t - b) for t, b in zip(tuned, base, strict=True)),
        'base_entropy': -sum(np.exp(b) * b for b in base),
        'tuned_entropy': -sum(np.exp(t) * t for t in tuned),
    }
    for name, values in (('base', base), ('tuned', tuned)):
        found[f'top_ids_{name}'] = order[name][:K]
        found[f'top_logprobs_{name}'] = [values[i] for i in order[name][:K]]
    return found


def rows(run, context, example, tokens, rng, shift):
    """The records of a response; tokens that are None are the tuned model's own choice."""
    found = [position(rng, shift, token) for token in tokens]
    measures = {name: np.array([each[name] for each in found]) for name in (*records.MEASURES, *records.LISTS)}
    places = np.arange(len(tokens))
    return records.table(run, context, 'matched', -1, [example] * len(tokens), measures, positions=places)


def make(path, runs=('lora', 'full'), examples=12, contexts=('own', 'shared')):
    config = {
        'name': 'made-up responses', 'seed': 0, 'base': {'source': 'world:'}, 'data': {'source': 'world:'},
        'prompts': {'source': 'world:'}, 'runs': {run: {'method': run, 'learning_rate': 1e-3} for run in runs},
        'sweep': {'bootstrap': 50, 'marginal_above': 1, 'shifted_above': 3, 'contexts': contexts, 'shared_from': ''},
    }  # fmt: skip
    experiment = {'config': config, 'config_hash': 'abc', 'command': 'python run.py', 'versions': {'jax': '0.10.2'},
                  'devices': {'count': 1, 'kind': 'cpu', 'platform': 'cpu'}}  # fmt: skip
    path.mkdir(parents=True, exist_ok=True)
    (path / 'experiment.json').write_text(json.dumps(experiment))
    for seed, run in enumerate(runs):
        _run(Workdir(path).run(run), run, seed, examples, contexts)
    return path


def _run(folder, run, seed, examples, contexts):
    rng = np.random.default_rng(seed)
    answers = []
    for number in range(examples):
        example, written = f'q{number:02d}', [*rng.integers(1, len(PIECES), 3 + number), HALF, REST, None, END]
        parts = [rows(run, context, example, written, rng, 1 + seed) for context in contexts]
        records.write_part(folder / 'tokens', number, pa.concat_tables(parts))
        answers.append(
            {'example_id': example, 'prompt': f'what is {number} <b>&amp;</b> why?', 'prompt_token_ids': [3, number],
             'response': ''.join(PIECES[token] for token in written[:3]), 'token_ids': [3], 'finish_reason': 'stop'}
        )  # fmt: skip
    (folder / 'responses.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in answers))
    (folder / 'metrics.jsonl').write_text('')
    extra = {('own', 'matched'): {'method': run, 'learning_rate': 1e-3}}
    summary.write(
        folder / 'summary.json', summary.summarise(records.read(folder / 'tokens'), PIECES, [END], 0, 50, extra)
    )
    _borrowing(folder / 'causes')


def _borrowing(folder):
    """Three spans of the first responses, of which one is called borrowed and has a row."""
    folder.mkdir()
    spans = [
        {'example_id': 'q00', 'position': 0, 'tokens': 2, 'borrowed': False, 'text': 'overlaps'},
        {'example_id': 'q00', 'position': 1, 'tokens': 2, 'borrowed': True, 'text': 'the baker'},
        {'example_id': 'q03', 'position': 0, 'tokens': 4, 'borrowed': False, 'text': 'any'},
    ]
    origins = [
        {'span': 'the baker', 'bm25_rank': 2, 'rows': 3, 'example_id': 'tune-9', 'text': 'worse'},
        {'span': 'the baker', 'bm25_rank': 1, 'rows': 3, 'example_id': 'tune-7', 'text': 'best </script><b>row</b>'},
    ]
    pq.write_table(pa.Table.from_pylist(spans), folder / 'borrowing.spans.parquet')
    pq.write_table(pa.Table.from_pylist(origins), folder / 'borrowing.rows.parquet')
