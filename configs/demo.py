"""The controlled world: pre-train a small Llama on known facts, tune it by LoRA and in full, and compare.

Command:   python run.py --config=configs/demo.py
Hardware:  any; two CPU cores are enough. Offline, deterministic.
Time:      under 5 minutes on two cores.
Expected:  at the shared learning rate full tuning moves the distribution several times as far as LoRA and forgets
           facts it was never told about; at each method's own best rate the two come close. The report's main figure
           has the learning rate on its axis. The recipe's numbers are all in this file and in jaxshift/config.py.
"""

from jaxshift.config import Base, Data, Experiment, Judge, Prompts, Respond, Run, Sweep, World

SHARED = 2e-3  # the learning rate that both methods share
# Best: the rate of the lowest loss on held-out answers in the house style, found by trying 1e-4 to 2e-2.
RATES = {
    'lora': {'lora': SHARED, 'lora_middle': 5e-3, 'lora_best': 1e-2},
    'full': {'full': SHARED, 'full_middle': 1e-3, 'full_best': 3e-4},
}


def get_config() -> Experiment:
    return Experiment(
        name='The controlled world',
        base=Base(source='world:', dtype='float32'),
        data=Data(source='world:', max_length=96),
        prompts=Prompts(source='world:'),
        runs={
            name: Run(
                method=method, learning_rate=rate, epochs=5, min_steps=60, batch_size=16, warmup=0.05, remat='none',
                rank=8, alpha=16.0, log_every=5,
            )
            for method, rates in RATES.items()
            for name, rate in rates.items()
        },
        respond=Respond(max_new_tokens=64, batch_size=64),
        sweep=Sweep(batch_size=32, chunk=2048),
        judge=Judge(kind='oracle'),
        world=World(),
    )  # fmt: skip
