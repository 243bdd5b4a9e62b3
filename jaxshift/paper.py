"""The study of Ghosh et al. (ICML 2024, arXiv 2402.05119) as a configuration.

The paper states the base, 3 epochs, the learning rate, batches of 32 examples (not packed), rank 8 and greedy decoding.
`inferred` marks what it does not state: defaults, at that time, of the tool it used.
"""

from jaxshift.config import Base, Data, Experiment, Mesh, Prompts, Respond, Run


def llama2(size: str, method: str, micro_batch_size: int) -> Experiment:
    """One run on Llama-2.

    Args:
      size: 7b, 13b or 70b.
      method: lora or full; it names the run too.
      micro_batch_size: rows computed at once, which the hardware sets; it changes no result.
    """
    tuned = Run(
        method=method,
        learning_rate=5e-5,
        schedule='cosine',  # inferred
        epochs=3,
        batch_size=32,
        micro_batch_size=micro_batch_size,
        rank=8,
        alpha=16,  # inferred
        targets=('q_proj', 'v_proj'),  # inferred
        dropout=0.0,  # inferred: 0.1 in older versions of that tool
    )
    whole_on_one = size == '7b' and method == 'lora'
    return Experiment(
        name=f'Llama-2-{size.upper()}, {"LoRA" if method == "lora" else "full tuning"}',
        base=Base(source=f'hf:meta-llama/Llama-2-{size}-hf', dtype='bfloat16'),
        data=Data(
            source='file:data/alpaca_52k.json',
            template='paper',  # inferred
            max_length=1024,  # inferred
        ),
        prompts=Prompts(limit=800),
        runs={method: tuned},
        respond=Respond(max_new_tokens=512),  # inferred
        mesh=Mesh() if whole_on_one else Mesh(data=1, fsdp=-1),
    )
