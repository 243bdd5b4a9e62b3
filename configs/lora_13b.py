"""LoRA on Llama-2-13B with the hyper-parameters of the paper.

Command:   python run.py --config=configs/lora_13b.py --config.data.source=file:DATA.json \
             --config.prompts.source=file:PROMPTS.json
Hardware:  one GPU of 80 GiB, or 4 TPU chips of 16 GiB (26.0 GB of weights, 6,553,600 trained parameters).
Time:      not run here.
Expected:  the paper's KL falls as bases grow, most likely by the truncated KL of the code it borrowed; jaxshift's KL
           is exact, so only the order of runs compares.

The hyper-parameters, and which of them are inferred, are in jaxshift/paper.py.
It answers the first 800 prompts of just-eval-instruct; without prompts.source the first 800 of the data are answered.
The weights are gated: set HF_TOKEN, or download them and give --config.base.source=dir:PATH.
"""

from jaxshift.config import Experiment
from jaxshift.paper import experiment


def get_config() -> Experiment:
    return experiment('Llama-2-13B', 'lora', micro_batch_size=8)
