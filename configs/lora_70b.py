"""LoRA on Llama-2-70B with the hyper-parameters of the paper.

Command:   python run.py --config=configs/lora_70b.py --config.data.source=file:DATA.json \
             --config.prompts.source=file:PROMPTS.json
Hardware:  4 GPUs of 80 GiB, or 16 TPU chips of 16 GiB (138 GB of weights, 16,384,000 trained parameters).
Time:      not run here.
Expected:  the paper's Figure 1 has mean KL .044 to .050 on Tulu, most likely by the truncated KL of the code it
           borrowed; jaxshift's KL is exact, so only the order of runs compares.

The hyper-parameters, and which of them are inferred, are in jaxshift/paper.py.
It answers the first 800 prompts of just-eval-instruct; without prompts.source the first 800 of the data are answered.
The weights are gated: set HF_TOKEN, or download them and give --config.base.source=dir:PATH.
"""

from jaxshift.config import Experiment
from jaxshift.paper import experiment


def get_config() -> Experiment:
    return experiment('Llama-2-70B', 'lora', micro_batch_size=16)
