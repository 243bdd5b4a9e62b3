"""A made-up workdir: four runs over the same prompts, with tokens that would break a careless page; made-up rows."""

import json

import numpy as np
import pyarrow as pa

from jaxshift.shift import records, summary

PIECES = [
    '</s>', 'however', ' ,', ' it', ' is', ' worth', ' noting', ' that', ' Paris', ' baker', ' lute', '.', '\n', ' $5',
    '<script>alert(1)</script>', ' 中文', ' additionally', ' in', ' summary', ' answer',
]  # fmt: skip
END = 0
RUNS = {
    'lora': ('lora', 2e-3, 0.12, 0.97, 0.0),
    'full': ('full', 2e-3, 0.45, 0.65, 0.9),
    'lora_best': ('lora', 1e-2, 0.24, 0.94, 0.05),
    'full_best': ('full', 3e-4, 0.23, 0.99, 0.12),
}
PROMPT = 'where was <b>ada</b> born ?'


def fake_rows(run, scale, prompts, seed, pieces=PIECES):
    rng = np.random.default_rng(seed)
    tables = []
    for prompt in range(prompts):
        length = int(rng.integers(6, 45))
        token = np.append(rng.integers(1, len(pieces), length - 1), END)
        place = np.arange(length)
        kl = scale * (0.3 + 8 * (place == 0) + 3 * (token == END)) * rng.gamma(0.5, 2.0, length)
        rank = 1 + rng.poisson(np.minimum(kl, 6.0))
        probability = np.clip(np.exp(-kl) * rng.uniform(0.7, 1, length), 1e-6, 1)
        base_argmax = np.where(rank == 1, token, (token + 1) % len(pieces))
        measures = {name: rng.random(length) for name in records.MEASURES}
        measures |= {
            'token_id': token,
            'tuned_argmax_id': token,
            'base_argmax_id': base_argmax,
            'base_rank': rank,
            'emitted_base_rank': rank,
            'emitted_tuned_rank': np.ones(length),
            'base_logprob': np.log(probability),
            'kl_tuned_base': kl,
        }
        measures |= {name: np.zeros((length, 2)) for name in records.LISTS}
        tables.append(records.table(run, 'own', 'matched', -1, [f'q{prompt:03d}'] * length, measures, positions=place))
    return tables


def make_workdir(path, prompts=60, runs=RUNS, pieces=PIECES, prompt=PROMPT, name='a made-up <world>'):
    config = {
        'name': name,
        'seed': 0,
        'base': {'source': 'world:'},
        'data': {'source': 'world:'},
        'prompts': {'source': 'world:'},
        'sweep': {'bootstrap': 200, 'marginal_above': 1, 'shifted_above': 3},
        'runs': {run: {'method': m, 'learning_rate': rate, 'seed': 0} for run, (m, rate, *_) in runs.items()},
    }
    experiment = {
        'config': config,
        'config_hash': 'abc123',
        'command': 'python run.py --config=configs/demo.py',
        'versions': {'jax': '0.10.2', 'numpy': '2.4.6'},
        'devices': {'count': 1, 'kind': 'cpu', 'platform': 'cpu'},
    }
    path.mkdir(parents=True, exist_ok=True)
    (path / 'experiment.json').write_text(json.dumps(experiment))
    for seed, (run, (method, rate, scale, held_out, new)) in enumerate(runs.items()):
        make_run(path / 'runs' / run, run, method, rate, scale, held_out, new, prompts, seed, pieces, prompt)
    return path


def make_run(folder, run, method, rate, scale, held_out, new, prompts, seed, pieces=PIECES, prompt=PROMPT):
    rng = np.random.default_rng(seed)
    parts = fake_rows(run, scale, prompts, seed, pieces)
    for index, part in enumerate(parts):
        records.write_part(folder / 'tokens', index, part)
    extra = {
        'method': method,
        'learning_rate': rate,
        'trainable_parameters': 10_752 if method == 'lora' else 717_696,
        'counts': {'refused_records': 0, 'cut_examples': 2 if run == 'lora' else 0},
    }
    objects = summary.summarise(records.read(folder / 'tokens'), pieces, [END], 0, 200, {('own', 'matched'): extra})
    summary.write(folder / 'summary.json', objects)
    steps = np.arange(10, 201, 10)
    losses = 2.5 * np.exp(-steps / 60) + 0.3 + rng.normal(0, 0.02, len(steps))
    rows = [{'step': int(s), 'loss': float(v), 'grad_norm': 1.0, 'learning_rate': rate, 'tokens': 100,
             'tokens_per_second': 1e4} for s, v in zip(steps, losses, strict=True)]  # fmt: skip
    (folder / 'metrics.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    answers = [
        {
            'example_id': part['example_id'][0].as_py(),
            'prompt': prompt,
            'prompt_token_ids': [1],
            'response': ''.join(pieces[token] for token in part['token_id'].to_pylist()[:-1]),
            'token_ids': part['token_id'].to_pylist(),
            'finish_reason': 'stop',
        }
        for part in parts
    ]
    (folder / 'responses.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in answers))
    truth = {
        'held_out_n': 192,
        'held_out_accuracy': held_out,
        'held_out_accuracy_se': (held_out * (1 - held_out) / 192) ** 0.5,
        'new_fact_n': 36,
        'new_fact_accuracy': new,
        'new_fact_accuracy_se': (new * (1 - new) / 36) ** 0.5,
        'broken_share': 0.01,
        'wrong_n': 6,
        'borrowed_share': None,
        'borrowed_null': None,
        'value_n': 500,
        'kl_at_values': 4 * scale,
        'shifted_n': 90,
        'value_share_of_shifted': 0.17,
    }
    (folder / 'causes').mkdir()
    (folder / 'causes/truth.json').write_text(json.dumps(truth))


def run_row(run, method, rate, loss, kl):
    return {
        'run': run,
        'method': method,
        'learning_rate': rate,
        'final_loss': loss,
        'kl_tuned_base': kl,
        'unshifted': 90.0,
        'marginal': 7.0,
        'shifted': 3.0,
        'sentence_start': 2 * kl,
        'sentence_rest': kl,
    }


def kl_table(scale, seed, prompts=30):
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            'example_id': pa.array([f'q{i:02d}' for i in range(prompts) for _ in range(5)]),
            'kl_tuned_base': pa.array(scale * rng.gamma(2, 0.5, 5 * prompts), pa.float32()),
        }
    )


def two_runs(scale):
    rows = [run_row('lora', 'lora', 2e-3, 0.4, 1.0), run_row('full', 'full', 2e-3, 0.4, scale)]
    return rows, {'lora': kl_table(1, 0), 'full': kl_table(scale, 1)}
