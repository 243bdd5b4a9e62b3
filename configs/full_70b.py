"""Full-parameter tuning of Llama-2-70B with the hyper-parameters of the paper.

Command:   python run.py --config=configs/full_70b.py --config.data.source=file:DATA.json \
             --config.prompts.source=file:PROMPTS.json
Hardware:  32 GPUs of 80 GiB: weights, gradient and AdamW's moments in float32 are 1.1 TB, cut over the
           devices.
Time:      not run here.
Expected:  the paper's Figure 1 has mean KL .361 to .495 on Tulu, most likely by the truncated KL of the code it
           borrowed; jaxshift's KL is exact, so only the order of runs compares.

The paper (Ghosh et al. 2024, arXiv 2402.05119) states the base, 3 epochs, the learning rate, batches of 32 examples
(not packed) and greedy decoding; `inferred` marks defaults, at that time, of the tool it used.
It answers the first 800 prompts of just-eval-instruct; without prompts.source the first 800 of the data are answered.
The weights are gated: set HF_TOKEN, or download them and give --config.base.source=dir:PATH.
"""

from jaxshift.config import Base, Data, Experiment, Mesh, Prompts, Respond, Run


def get_config() -> Experiment:
    return Experiment(
        name='Llama-2-70B, full tuning',
        base=Base(source='hf:meta-llama/Llama-2-70b-hf', dtype='bfloat16'),
        data=Data(
            source='file:data/alpaca_52k.json',
            template='paper',  # inferred
            max_length=1024,  # inferred
        ),
        prompts=Prompts(limit=800),
        runs={
            'full': Run(
                method='full',
                learning_rate=5e-5,
                schedule='cosine',  # inferred
                epochs=3,
                batch_size=32,
                micro_batch_size=32,
            )
        },
        respond=Respond(max_new_tokens=512),  # inferred
        mesh=Mesh(data=1, fsdp=-1),
    )
