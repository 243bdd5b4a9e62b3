"""The controlled world as a grid: five worlds, three sizes of nested instruction data, LoRA and full tuning.

Command:   python run.py --config=configs/study_world.py --workdir=WS
           Cells are named seed0_n60 to seed4_n480; --only=seed0_* takes those of one world, so that several jobs can
           share the work, in one workdir; --mode=report sums up what is there.
Hardware:  any; two CPU cores are enough. Offline, deterministic.
Time:      24 minutes on two cores that others used too.
Expected:  WS/report/index.html and findings.md: which findings of Ghosh et al. hold here, with intervals over worlds.

Every cell has each method at the shared learning rate, near its own best (as configs/demo.py found it), and on the far
side of that, so that the methods meet at equal training loss and at equal mean KL and a best rate need not be an edge;
and LoRA with NEFTune beside lora_best, since at the shared rate it is right almost always and has nothing to gain.
The cells of one world share its base.
"""

from jaxshift.cells import Cell
from jaxshift.config import Base, Causes, Data, Experiment, Judge, Prompts, Respond, Run, Sweep, World

SEEDS = range(5)  # of the worlds
SIZES = (60, 240, 480)  # examples; a larger set holds the smaller ones
SHARED = 2e-3  # the learning rate that both methods share
BEST = 1e-2  # of LoRA
RATES = {
    'lora': {'lora': SHARED, 'lora_middle': 5e-3, 'lora_best': BEST, 'lora_high': 2e-2},
    'full': {'full': SHARED, 'full_best': 3e-4, 'full_low': 1e-4},
}
NEFTUNE = 5.0  # the alpha of Jain et al. (arXiv 2310.05914) for Alpaca


def get_config() -> Experiment:
    runs = {name: _run(method, rate) for method, rates in RATES.items() for name, rate in rates.items()}
    return Experiment(
        name='Worlds, sizes and methods',
        base=Base(source='world:', dtype='float32'),
        data=Data(source='world:', max_length=96),
        prompts=Prompts(source='world:'),
        runs=runs | {'lora_neftune': _run('lora', BEST, NEFTUNE)},
        respond=Respond(max_new_tokens=64, batch_size=256),
        sweep=Sweep(contexts=('own', 'reference'), batch_size=64, chunk=4096),
        causes=Causes(analyses=('truth', 'borrowing')),
        judge=Judge(kind='oracle'),
        trackers=(),
        world=World(),
    )


def get_cells() -> dict[str, Cell]:
    runs = get_config().runs
    return {
        f'seed{seed}_n{size}': Cell(
            'world', size, seed,
            {'world.seed': seed, 'world.instructions': size} | {f'runs.{run}.seed': seed for run in runs},
        )
        for seed in SEEDS
        for size in SIZES
    }  # fmt: skip


def _run(method: str, rate: float, neftune: float = 0.0) -> Run:
    return Run(
        method=method, learning_rate=rate, epochs=5, min_steps=60, batch_size=16, warmup=0.05, remat='none',
        rank=8, alpha=16.0, log_every=1, neftune_alpha=neftune,
    )  # fmt: skip
