"""Full-parameter tuning of Llama-2-7B with the hyper-parameters of the paper.

Command:   python run.py --config=configs/full_7b.py --config.data.source=file:DATA.json \
             --config.prompts.source=file:PROMPTS.json
Hardware:  8 GPUs of 80 GiB, or 32 TPU chips of 16 GiB: weights, gradient and AdamW's moments in float32 are
           108 GB, cut over the devices.
Time:      not run here.
Expected:  Figure 1 of the paper has mean KL .534 at 1k to .765 at 52k on Alpaca, most likely by the truncated
           KL of the code it borrowed; jaxshift's KL is exact, so only the order of runs compares.

The hyper-parameters, and which of them are inferred, are in jaxshift/paper.py.
It answers the first 800 prompts of just-eval-instruct; without prompts.source the first 800 of the data are answered.
The weights are gated: set HF_TOKEN, or download them and give --config.base.source=dir:PATH.
"""

from jaxshift.config import Experiment
from jaxshift.paper import experiment


def get_config() -> Experiment:
    return experiment('Llama-2-7B', 'full', micro_batch_size=32)
