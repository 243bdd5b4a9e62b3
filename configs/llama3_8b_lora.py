"""LoRA on Llama-3-8B with the hyper-parameters that the paper used on Llama-2.

Command:   python run.py --config=configs/llama3_8b_lora.py --config.data.source=file:DATA.json \
             --config.prompts.source=file:PROMPTS.json
Hardware:  one GPU of 40 GiB (16.1 GB of weights, 3,407,872 trained parameters).
Time:      not run here.
Expected:  no published numbers: the paper is older than this base.

The hyper-parameters, and which of them are inferred, are in jaxshift/paper.py.
It answers the first 800 prompts of just-eval-instruct; without prompts.source the first 800 of the data are answered.
The weights are gated: set HF_TOKEN, or download them and give --config.base.source=dir:PATH.
"""

from jaxshift.config import Experiment
from jaxshift.paper import experiment


def get_config() -> Experiment:
    return experiment('Llama-3-8B', 'lora', micro_batch_size=8)
