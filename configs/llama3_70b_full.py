"""Full-parameter tuning of Llama-3-70B with the hyper-parameters that the paper used on Llama-2.

Command:   python run.py --config=configs/llama3_70b_full.py --config.data.source=file:DATA.json \
             --config.prompts.source=file:PROMPTS.json
Hardware:  32 GPUs of 80 GiB, or 64 TPU v5p chips: weights, gradient and AdamW's moments in float32 are 1.1 TB, cut
           over the devices. --mode=plan --topology=v5p:4x4x4 tells what each of them takes.
Time:      not run here.
Expected:  no published numbers: the paper is older than this base.

The hyper-parameters, and which of them are inferred, are in jaxshift/paper.py.
It answers the first 800 prompts of just-eval-instruct; without prompts.source the first 800 of the data are answered.
The weights are gated: set HF_TOKEN, or download them and give --config.base.source=dir:PATH.
"""

from jaxshift.config import Experiment
from jaxshift.paper import experiment


def get_config() -> Experiment:
    return experiment('Llama-3-70B', 'full', micro_batch_size=32, tensor=4)
