"""Data treatments in the controlled world: a filter by score, short answers and NEFTune, beside plain LoRA.

Command:   python run.py --config=configs/treatments_world.py
Hardware:  any; two CPU cores are enough. Offline, deterministic.
Time:      that of configs/demo.py, or less: four runs in place of six.
Expected:  the section Data treatments of the report. One seed gave, beside plain LoRA: the filter, which leaves out whom
           the base has never heard of, 0.66 times the mean KL and held-out accuracy 1.00 in place of 0.93; NEFTune
           0.59 times and 0.98; short answers 9 tokens in place of 45, but 2.9 times the KL at each of these few, and
           no gain in accuracy. The paper finds (Fig. 9) that no treatment beats plain LoRA.

The same for data of your own, in a config file:

    treatments={
        'filtered': Treatment(score='column:score', min_score=4.5),  # AlpaGasus; or score='judge:' or file:SCORES
        'harder': Treatment(source='file:evol_instruct.json'),  # harder instructions are just other data
        'short': Treatment(simplify='endpoint'),  # LIMA-Simple; asks the endpoint of config.judge
    },
    runs={'filtered': Run(treatment='filtered', ...), 'neftune': Run(neftune_alpha=5.0, ...), ...}
"""

from jaxshift.config import Base, Data, Experiment, Judge, Prompts, Respond, Run, Sweep, Treatment, World


def plain(**changes) -> Run:
    """LoRA at its own best rate (see configs/demo.py), but for some keys."""
    return Run(
        method='lora', learning_rate=1e-2, epochs=5, min_steps=60, batch_size=16, warmup=0.05, remat='none', rank=8,
        alpha=16.0, log_every=5, **changes,
    )  # fmt: skip


def get_config() -> Experiment:
    return Experiment(
        name='Data treatments in the controlled world',
        base=Base(source='world:', dtype='float32'),
        data=Data(source='world:', max_length=96),
        treatments={
            'filtered': Treatment(score='world:', min_score=4.5),
            'short': Treatment(simplify='rules', sentences=1),
        },
        prompts=Prompts(source='world:'),
        runs={
            'lora': plain(),
            'filtered': plain(treatment='filtered'),
            'short': plain(treatment='short'),
            'neftune': plain(neftune_alpha=5.0),
        },
        respond=Respond(max_new_tokens=64, batch_size=64),
        sweep=Sweep(batch_size=32, chunk=2048),
        judge=Judge(kind='oracle'),
        world=World(),
    )
