"""The set-ups of the paper, as the configs have them."""

import pytest
from commandline import ROOT

from jaxshift import cells, options, paper

BASES = {
    '7b': 'meta-llama/Llama-2-7b-hf',
    '13b': 'meta-llama/Llama-2-13b-hf',
    '70b': 'meta-llama/Llama-2-70b-hf',
    'mistral_7b': 'mistralai/Mistral-7B-v0.1',
    'llama3_8b': 'meta-llama/Meta-Llama-3-8B',
    'llama3_70b': 'meta-llama/Meta-Llama-3-70B',
}
PAPER = {  # config file to its base and the methods of its runs
    **{f'{method}_{size}': (BASES[size], [method]) for size in ('7b', '13b', '70b') for method in ('lora', 'full')},
    **{
        f'{base}_{method}': (BASES[base], [method])
        for base in ('mistral_7b', 'llama3_8b', 'llama3_70b')
        for method in ('lora', 'full')
    },
    'llamafactory_2024': (BASES['7b'], ['lora', 'full']),
}


@pytest.mark.parametrize('name', PAPER)
def test_the_papers_hyper_parameters_are_kept(name):
    made = options.load(str(ROOT / f'configs/{name}.py'))
    base, methods = PAPER[name]
    assert (made.base.source, [run.method for run in made.runs.values()]) == (f'hf:{base}', methods)
    assert (made.respond.max_new_tokens, made.data.max_length, made.data.template) == (512, 1024, 'paper')
    for tuned in made.runs.values():
        assert (tuned.epochs, tuned.learning_rate, tuned.batch_size, tuned.rank, tuned.pack) == (3, 5e-5, 32, 8, False)
        assert (tuned.targets, tuned.alpha, tuned.schedule) == (('q_proj', 'v_proj'), 16, 'cosine')
        assert tuned.dropout == (0.1 if (name, tuned.method) == ('llamafactory_2024', 'lora') else 0.0)


@pytest.mark.parametrize('base', ['7b', '13b', '70b'])
def test_the_papers_grids_have_every_set_up_of_its_tables_by_both_methods(base):
    path = str(ROOT / f'configs/paper_llama2_{base}.py')
    found = cells.experiments(options.load(path), cells.load(path))
    sets = sum(map(len, paper.DATA.values())) + len(paper.TREATED)
    assert len(found) == (2 * sets + len(paper.NOISY) + 4 * len(paper.SWEPT)) * len(paper.SEEDS) == 147
    one = found['tulu_326k_seed2_full']
    assert list(one.runs) == ['full']
    assert (one.data.source, one.data.subset, one.data.subset_seed) == ('file:data/tulu.json', 326_000, 2)
    assert (one.runs['full'].seed, one.runs['full'].learning_rate, one.sweep.compat) == (2, 5e-5, 'aligntds')
    assert found['alpaca_1k_seed0_lora_3e-4'].runs['lora_3e-4'].learning_rate == 3e-4
    assert found['alpaca_52k_seed0_neftune'].runs['neftune'].neftune_alpha > 0
    assert {run.log_every for each in found.values() for run in each.runs.values()} == {1}
    assert found['alpagasus_9k_seed0_lora'].data.subset == 0
    assert cells.load(path)['filtered_dolly_3k_seed1_full'].treated == 'dolly'
