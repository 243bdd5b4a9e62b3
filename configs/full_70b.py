"""Full-parameter tuning of Llama-2-70B with the hyper-parameters of the paper.

Command:   python run.py --config=configs/full_70b.py --config.data.source=file:DATA.json \
             --config.prompts.source=file:PROMPTS.json
Hardware:  32 GPUs of 80 GiB, or 64 TPU v5p chips: weights, gradient and AdamW's moments in float32 are 1.1 TB, cut
           over the devices. --mode=plan --topology=v5p:4x4x4 tells what each of them takes.
Time:      not run here.
Expected:  the paper's Figure 1 has mean KL .361 to .495 on Tulu, most likely by the truncated KL of the code it
           borrowed; jaxshift's KL is exact, so only the order of runs compares.

The hyper-parameters, and which of them are inferred, are in jaxshift/paper.py.
It answers the first 800 prompts of just-eval-instruct; without prompts.source the first 800 of the data are answered.
The weights are gated: set HF_TOKEN, or download them and give --config.base.source=dir:PATH.
"""

from jaxshift.config import Experiment
from jaxshift.paper import experiment


def get_config() -> Experiment:
    return experiment('Llama-2-70B', 'full', micro_batch_size=32, tensor=4)
