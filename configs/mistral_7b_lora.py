"""LoRA on Mistral-7B-v0.1 with the hyper-parameters of the paper.

Command:   python run.py --config=configs/mistral_7b_lora.py --config.data.source=file:DATA.json \
             --config.prompts.source=file:PROMPTS.json
Hardware:  one GPU of 40 GiB (14.5 GB of weights, 3,407,872 trained parameters).
Time:      not run here.
Expected:  not known beforehand: Figure 1 of the paper has no curve for this base.

The hyper-parameters, and which of them are inferred, are in jaxshift/paper.py.
Positions see the last 4,096 tokens: its sliding window, which its config.json states.
It answers the first 800 prompts of just-eval-instruct; without prompts.source the first 800 of the data are answered.
The weights come from the hub, or from a download: --config.base.source=dir:PATH.
"""

from jaxshift.config import Experiment
from jaxshift.paper import experiment


def get_config() -> Experiment:
    return experiment('Mistral-7B-v0.1', 'lora', micro_batch_size=8)
