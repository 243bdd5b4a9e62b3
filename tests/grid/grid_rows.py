"""Rows of a grid with planted effects."""

import numpy as np

SEEDS, SIZES = range(5), (60, 240, 480)
RATES = {'lora': ('lora', 2e-3), 'lora_best': ('lora', 1e-2), 'full': ('full', 2e-3), 'full_best': ('full', 3e-4)}


def row(run, size=60, seed=0, **columns):
    """A row of `results.load`; columns not named are those of no run in particular."""
    method, rate = RATES[run]
    plain = {
        'cell': f'seed{seed}_n{size}', 'base': 'world:', 'data': 'world', 'size': size, 'seed': seed, 'run': run,
        'test': '', 'treated': '', 'method': method, 'published_as': method, 'learning_rate': rate, 'plain': True,
        'kl_tuned_base': 0.1, 'final_loss': 0.5, 'held_out_loss': 1.0,
    }  # fmt: skip
    return plain | columns


def rows(columns, noise=0.02, seed=0):
    """A row for each seed, size and run; `columns` maps a run to its columns, each the mean or a function of size."""
    rng = np.random.default_rng(seed)
    made = []
    for each in SEEDS:
        for size in SIZES:
            for run, values in columns.items():
                drawn = {
                    name: (value(size) if callable(value) else value) * (1 + noise * rng.standard_normal())
                    for name, value in values.items()
                }
                made.append(row(run, size, each, **drawn))
    return made
