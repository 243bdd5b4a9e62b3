"""Full-parameter tuning of Mistral-7B-v0.1 with the hyper-parameters of the paper.

Command:   python run.py --config=configs/mistral_7b_full.py --config.data.source=file:DATA.json \
             --config.prompts.source=file:PROMPTS.json
Hardware:  8 GPUs of 80 GiB, or 32 TPU chips of 16 GiB: weights, gradient and AdamW's moments in float32 are
           116 GB, cut over the devices.
Time:      not run here.
Expected:  watch the loss: at this learning rate the paper's scores (1.0 to 1.5 of 5) look as if training had
           diverged, so they are nothing to be held against.

The hyper-parameters, and which of them are inferred, are in jaxshift/paper.py.
Positions see the last 4,096 tokens: its sliding window, which its config.json states.
It answers the first 800 prompts of just-eval-instruct; without prompts.source the first 800 of the data are answered.
The weights come from the hub, or from a download: --config.base.source=dir:PATH.
"""

from jaxshift.config import Experiment
from jaxshift.paper import experiment


def get_config() -> Experiment:
    return experiment('Mistral-7B-v0.1', 'full', micro_batch_size=32)
