"""The study of Ghosh et al. (ICML 2024) on Llama-2-7B, as a grid: data sets, nested sizes, methods and seeds.

Command:   python run.py --config=configs/paper_llama2_7b.py --mode=plan --topology=v5e:2x4
           python run.py --config=configs/paper_llama2_7b.py --workdir=WS --only='alpaca_*_lora'
           Cells are named DATA_SIZEk_seedN_RUN, 147 in all; jobs share one workdir, each with cells of its own, and
           each cell can be started again alone. --mode=report sums up what is there.
Needs:     data/alpaca.json, medinstruct.json, lima.json, dolly.json and tulu.json, in any format that README.md lists:
           Alpaca, MedInstruct-52k, LIMA, databricks-dolly-15k and the Tulu-V2 mixture; data/just_eval_instruct.json and
           data/medinstruct_test.json, the prompts; for Figure 9 data/alpagasus.json, filtered_dolly.json,
           evol_instruct.json and lima_simple.json. The weights are gated: set HF_TOKEN, or give base.source=dir:PATH.
Hardware:  LoRA: 8 TPU chips of 16 GiB or one GPU of 40 GiB. Full tuning: 8 GPUs of 80 GiB, or 32 such chips.
Time:      not run here; --mode=plan tells the least that each cell takes.
Expected:  Figure 1: mean KL .134 to .146 (LoRA) and .534 to .765 (full) on Alpaca, held to the columns of AlignTDS's
           arithmetic.

The hyper-parameters, and which of them are inferred, are in jaxshift/paper.py.
"""

from jaxshift import paper
from jaxshift.cells import Cell
from jaxshift.config import Experiment


def get_config() -> Experiment:
    return paper.grid('Llama-2-7B', micro_batch_size=8)


def get_cells() -> dict[str, Cell]:
    return paper.cells()
