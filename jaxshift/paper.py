"""The study of Ghosh et al. (ICML 2024, arXiv 2402.05119) as a configuration.

The paper states the base, 3 epochs, the learning rate, batches of 32 examples (not packed), rank 8 and greedy decoding.
`inferred` marks what it does not state: defaults, at that time, of the tool it used.
"""

from dataclasses import replace

from jaxshift.cells import Cell
from jaxshift.config import Base, Data, Experiment, Mesh, Prompts, Respond, Run

BASES = {
    'Llama-2-7B': 'hf:meta-llama/Llama-2-7b-hf',
    'Llama-2-13B': 'hf:meta-llama/Llama-2-13b-hf',
    'Llama-2-70B': 'hf:meta-llama/Llama-2-70b-hf',
    'Mistral-7B-v0.1': 'hf:mistralai/Mistral-7B-v0.1',
    'Llama-3-8B': 'hf:meta-llama/Meta-Llama-3-8B',  # not in the paper, and 70B likewise
    'Llama-3-70B': 'hf:meta-llama/Meta-Llama-3-70B',
}
WHOLE_ON_ONE = ('Llama-2-7B', 'Mistral-7B-v0.1', 'Llama-3-8B')  # a device holds the frozen weights
# Its instruction data by name: the sizes of its tables. The files are those of data/ that a grid's config describes.
DATA = {
    'alpaca': (1000, 10_000, 25_000, 52_000),
    'medinstruct': (1000, 10_000, 25_000, 52_000),
    'lima': (1000,),
    'dolly': (15_000,),
    'tulu': (1000, 10_000, 25_000, 50_000, 150_000, 326_000),
}
# Its treatments of data (Figure 9): what is treated, and how many records come of it, about, all of which are taken.
TREATED = {
    'alpagasus': ('alpaca', 9000),
    'filtered_dolly': ('dolly', 3000),
    'evol_instruct': ('alpaca', 70_000),
    'lima_simple': ('lima', 1000),
}
NOISY = ('alpaca_52k',)  # on which it tried NEFTune; also on MedInstruct, but there the prompts are others here
NEFTUNE = 5.0  # inferred: its alpha, that of Jain et al. (arXiv 2310.05914) for Alpaca
# The paper has one rate for both methods. These stand beside it so that they can meet at equal loss and at equal KL.
RATE = 5e-5
RATES = {'lora': (3e-4, 1e-3), 'full': (2e-5, 5e-6)}
SWEPT = ('alpaca_1k', 'alpaca_52k')  # on which they are tried
SEEDS = range(3)  # the paper has one, so that it can give no intervals
METHODS = {'lora': 'LoRA', 'full': 'full tuning'}


def experiment(base: str, *methods: str, micro_batch_size: int, tensor: int = 1) -> Experiment:
    """Runs on one base, with the hyper-parameters that both methods share.

    Args:
      base: a name in `BASES`.
      methods: of the runs, lora or full; they name the runs too.
      micro_batch_size: rows computed at once, which the hardware sets; it changes no result.
      tensor: devices that share rows, so that more devices than rows can work; likewise.
    """
    whole_on_one = base in WHOLE_ON_ONE and methods == ('lora',)
    return Experiment(
        name=f'{base}, {" and ".join(METHODS[method] for method in methods)}',
        base=Base(source=BASES[base], dtype='bfloat16'),  # inferred: the precision
        data=Data(
            source='file:data/alpaca_52k.json',
            template='paper',  # inferred
            max_length=1024,  # inferred
        ),
        prompts=Prompts(limit=800),
        runs={method: _run(method, micro_batch_size, RATE) for method in methods},
        respond=Respond(max_new_tokens=512),  # inferred
        mesh=Mesh() if whole_on_one else Mesh(data=1, fsdp=-1, tensor=tensor),
    )


def grid(base: str, micro_batch_size: int, tensor: int = 1) -> Experiment:
    """What all cells of the study on one base have in common; arguments as in `experiment`."""
    common = experiment(base, 'lora', 'full', micro_batch_size=micro_batch_size, tensor=tensor)
    common.name = f'{base}, the grid of the paper'
    common.prompts.source = 'file:data/just_eval_instruct.json'
    common.sweep.compat = 'aligntds'  # published numbers are on its scale
    common.runs['neftune'] = replace(common.runs['lora'], neftune_alpha=NEFTUNE)
    common.runs |= {
        _at(method, rate): _run(method, micro_batch_size, rate) for method, rates in RATES.items() for rate in rates
    }
    for run in common.runs.values():
        run.log_every = 1  # of few steps, the curve of the loss is made of means
    return common


def cells() -> dict[str, Cell]:
    """Every set-up of the paper's tables and other learning rates, each run by some seeds, which draw subsets too."""
    sets = [(data, size, '') for data, sizes in DATA.items() for size in sizes]
    sets += [(data, size, treated) for data, (treated, size) in TREATED.items()]
    found: dict[str, Cell] = {}
    for data, size, treated in sets:
        name = f'{data}_{size // 1000}k'
        runs = [*METHODS, *(['neftune'] if name in NOISY else [])]
        if name in SWEPT:
            runs += [_at(method, rate) for method, rates in RATES.items() for rate in rates]
        for seed in SEEDS:
            found |= {f'{name}_seed{seed}_{run}': _cell(data, size, seed, run, treated) for run in runs}
    return found


def _cell(data: str, size: int, seed: int, run: str, treated: str) -> Cell:
    settings: dict[str, object] = {
        'data.source': f'file:data/{data}.json', 'data.subset': 0 if treated else size, 'data.subset_seed': seed,
        f'runs.{run}.seed': seed,
    }  # fmt: skip
    if data == 'medinstruct':
        settings |= {'prompts.source': 'file:data/medinstruct_test.json', 'prompts.limit': 0}
    test = 'medinstruct-test' if data == 'medinstruct' else 'just-eval'
    return Cell(data, size, seed, settings, (run,), test, treated)


def _at(method: str, rate: float) -> str:
    """The name of a run at a learning rate of its own, such as lora_3e-4."""
    return f'{method}_{rate:.0e}'.replace('e-0', 'e-')


def _run(method: str, micro_batch_size: int, rate: float) -> Run:
    return Run(
        method=method,
        learning_rate=rate,
        optimizer='adamw',  # inferred, with the moments' decay, no warm-up, no weight decay, clipping at 1
        schedule='cosine',  # inferred
        epochs=3,
        batch_size=32,
        micro_batch_size=micro_batch_size,
        rank=8,
        alpha=16,  # inferred
        targets=('q_proj', 'v_proj'),  # inferred
        dropout=0.0,  # inferred: 0.1 in older versions of that tool
    )
