"""Two checkpoints that exist already: how far is the tuned one from the base, and at which tokens?

Command:   python run.py --config=configs/compare.py --config.base.source=dir:BASE \
             --config.runs.tuned.source=dir:TUNED --config.prompts.source=file:PROMPTS.json --workdir=DIR
Hardware:  whatever holds both models; two CPU cores are enough for some hundred million parameters.
Time:      a response of 512 tokens a prompt, then one forward pass of both models over it.
Expected:  a checkpoint against itself gives KL 0 and rank 1 at every position.

Nothing is trained. Both models need one architecture and one vocabulary; TUNED may also be the folder of a PEFT LoRA
adapter of the base. The prompts are rendered by the chat template of the base's tokenizer, or else by the paper's;
--config.base.tokenizer=dir:TUNED takes the tuned model's.
"""

from jaxshift.config import Base, Experiment, Run


def get_config() -> Experiment:
    return Experiment(
        name='Base against tuned',
        # bfloat16 halves the memory, and rounds: two equal models still give KL 0, two near ones less exactly.
        base=Base(dtype='float32'),
        runs={'tuned': Run(method='given')},
    )
