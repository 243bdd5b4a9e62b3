"""Full-parameter tuning of Llama-2-13B with the hyper-parameters of the paper.

Command:   python run.py --config=configs/full_13b.py --config.data.source=file:DATA.json \
             --config.prompts.source=file:PROMPTS.json
Hardware:  8 GPUs of 80 GiB: weights, gradient and AdamW's moments in float32 are 208 GB, cut over the devices.
Time:      not run here.
Expected:  a shift several times that of LoRA (configs/lora_13b.py), as at the other sizes in Figure 1 of the paper.

The hyper-parameters, and which of them are inferred, are in jaxshift/paper.py.
It answers the first 800 prompts of just-eval-instruct; without prompts.source the first 800 of the data are answered.
The weights are gated: set HF_TOKEN, or download them and give --config.base.source=dir:PATH.
"""

from jaxshift.config import Experiment
from jaxshift.paper import experiment


def get_config() -> Experiment:
    return experiment('Llama-2-13B', 'full', micro_batch_size=32)
