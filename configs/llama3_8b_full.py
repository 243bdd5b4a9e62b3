"""Full-parameter tuning of Llama-3-8B with the hyper-parameters that the paper used on Llama-2.

Command:   python run.py --config=configs/llama3_8b_full.py --config.data.source=file:DATA.json \
             --config.prompts.source=file:PROMPTS.json
Hardware:  8 GPUs of 80 GiB, or 32 TPU chips of 16 GiB: weights, gradient and AdamW's moments in float32 are
           128 GB, cut over the devices.
Time:      not run here.
Expected:  no published numbers: the paper is older than this base.

The hyper-parameters, and which of them are inferred, are in jaxshift/paper.py.
It answers the first 800 prompts of just-eval-instruct; without prompts.source the first 800 of the data are answered.
The weights are gated: set HF_TOKEN, or download them and give --config.base.source=dir:PATH.
"""

from jaxshift.config import Experiment
from jaxshift.paper import experiment


def get_config() -> Experiment:
    return experiment('Llama-3-8B', 'full', micro_batch_size=32)
