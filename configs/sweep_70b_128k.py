"""LoRA on Llama-3.1-70B, compared with its base at windows of up to 131,072 tokens.

Does tuning on short examples shift what the model says behind a long context, and how much of the context does it take?

Command:   python run.py --config=configs/sweep_70b_128k.py --config.data.source=file:DATA.json \
             --config.prompts.source=file:LONG_PROMPTS.json
Hardware:  64 TPU chips of 95 GiB (v5p:4x4x4); the sweep's step takes 14 GiB of each (141 GB of weights in all).
Time:      not run here.
Expected:  no published numbers. A run of no steps (b is zero) gives KL 0 and rank 1 at every window.

A prompt is one long text and what is asked about it: up to 130,560 tokens leave room for a response of 512, and behind
a longer one it ends where the context does. Each response is compared behind its whole prompt, and behind the last
32,768 and 8,192 tokens of it: three objects in summary.json. The examples that are trained on stay short.
The axes of the mesh are those of the pod: weights are cut over fsdp and tensor, rows over fsdp, positions over
sequence. The weights are gated: set HF_TOKEN, or download them and give --config.base.source=dir:PATH.
"""

from jaxshift.config import Base, Data, Experiment, Mesh, Prompts, Respond, Run, Sweep


def get_config() -> Experiment:
    return Experiment(
        name='Llama-3.1-70B, windows of 131,072 tokens',
        base=Base(source='hf:meta-llama/Llama-3.1-70B', dtype='bfloat16'),
        data=Data(source='file:data/alpaca_52k.json', max_length=1024),
        prompts=Prompts(source='file:data/long_prompts.json'),
        runs={'lora': Run(method='lora', learning_rate=5e-5, rank=8, targets=('q_proj', 'v_proj'), batch_size=32)},
        respond=Respond(max_new_tokens=512, batch_size=4),
        sweep=Sweep(context_lengths=(-1, 32_768, 8_192), batch_size=4, chunk=128),
        mesh=Mesh(data=1, fsdp=4, tensor=4, sequence=4),
    )
