"""Whether `--mode=advise` decides right in the controlled world, where it is known what the base has read.

    python -m benchmarks.advise [SEEDS]

makes a world and a base for each of five seeds (or as many as are named), and asks for advice on three sets of
instructions to each base: about people whom it has read about (known), about these and as many others in turn (half
known), and about others alone (unknown). Prints a line each. Exit code 1 where advice is wrong.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from jaxshift import config
from jaxshift.advise.verdict import METHODS
from jaxshift.data import world
from jaxshift.store import paths

ROOT = Path(__file__).parent.parent
SEEDS = 5
NEW = {'known': 0.0, 'half known': 0.5, 'unknown': 1.0}  # share of the instructions that is about new people
# Few people and a small model: it knows its facts after seconds. The gate holds it to that.
SMALL: dict[str, Any] = {
    'known_people': 40, 'new_people': 24, 'first_names': 20, 'last_names': 20, 'documents': 4000, 'hidden_size': 96,
    'intermediate_size': 256, 'layers': 2, 'gate': 0.9, 'test_questions': 12,
}  # fmt: skip
STEPS = 500


def main(seeds: int = SEEDS) -> int:
    wrong = 0
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.monotonic()
            settings = [f'--config.world.{key}={value}' for key, value in (SMALL | {'seed': seed}).items()]
            settings += [f'--config.world.pretraining.max_steps={STEPS}', f'--workdir={folder}/W', '--only=lora']
            for mode in ('data', 'train'):
                run(f'--mode={mode}', *settings, '--config.runs.lora.min_steps=0', '--config.runs.lora.max_steps=1')
            print(f'world {seed}: a base in {time.monotonic() - begun:.0f} s', flush=True)
            for subject, share in NEW.items():
                begun, path = time.monotonic(), Path(folder) / f'{subject}.json'
                made = world.generate(config.World(**SMALL, seed=seed, new_share=share))
                paths.write_json(path, made.instructions)
                run('--mode=advise', *settings, f'--config.data.source=file:{path}')
                found = json.loads((Path(folder) / 'W' / 'advice.json').read_text())['verdict']
                right = found['method'] == METHODS[subject]
                wrong += not right
                low, high = found['interval']
                print(
                    f'  {subject}: {found["method"]}, {found["value"]:.2f} [{low:.2f}, {high:.2f}], '
                    f'{"right" if right else "WRONG"}, in {time.monotonic() - begun:.0f} s',
                    flush=True,
                )
    print(f'{wrong} of {seeds * len(NEW)} wrong')
    return 1 if wrong else 0


def run(*arguments: str) -> None:
    """`python run.py --config=configs/demo.py ARGUMENTS`."""
    command = [sys.executable, 'run.py', '--config=configs/demo.py', *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if ended.returncode:
        sys.exit(f'{" ".join(arguments)} failed:\n{ended.stderr[-3000:]}')


if __name__ == '__main__':
    sys.exit(main(*map(int, sys.argv[1:])))
