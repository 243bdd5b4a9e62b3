"""Whether `--mode=advise` decides right in the controlled world, where it is known what the base has read.

    python -m benchmarks.advise [SEEDS]

makes a world and a base for each of five seeds (or as many as are named), and asks for advice on three sets of
instructions to each base: about people whom it has read about (known), about these and as many others in turn (half
known), and about others alone (unknown). Prints a line each. Exit code 1 where advice is wrong. It takes less than two
minutes of processor time; known subjects lay at 1.00 to 1.03, half-known ones at 0.48 to 0.54, unknown ones at 0.02 to
0.06 of general text.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from jaxshift import config, options
from jaxshift.devices import host_memory

DEMO = Path(__file__).parent.parent / 'configs' / 'demo.py'
SEEDS = 5
NEW = {'known': 0.0, 'half known': 0.5, 'unknown': 1.0}  # share of the instructions that is about new people
# Few people and a small model, which knows most of its facts after seconds.
SMALL: dict[str, Any] = {
    'known_people': 24, 'new_people': 16, 'first_names': 10, 'last_names': 10, 'documents': 2000, 'hidden_size': 64,
    'intermediate_size': 128, 'layers': 2, 'test_questions': 12, 'gate': 0.7,
}  # fmt: skip
STEPS, RATE = 350, 5e-3


def main(seeds: int = SEEDS) -> int:
    host_memory.keep()
    from jaxshift.advise.verdict import METHODS
    from jaxshift.data import world
    from jaxshift.store import paths

    wrong, begun = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:  # one for all: programs that were compiled lie in the first workdir
        for seed in range(seeds):
            workdir, study = Path(folder) / str(seed), experiment(seed)
            said = started(study, workdir, 'data') + started(study, workdir, 'train')
            print(f'world {seed}: {next(line for line in said if "answers" in line)}', flush=True)
            for subject, share in NEW.items():
                made = world.generate(config.World(**SMALL, seed=seed, new_share=share))
                path = Path(folder) / f'{seed} {subject}.json'
                paths.write_json(path, made.instructions)
                study.data.source = f'file:{path}'
                started(study, workdir, 'advise')
                found = json.loads((workdir / 'advice.json').read_text())['verdict']
                right = found['method'] == METHODS[subject]
                wrong += not right
                low, high = found['interval']
                figures = f'{found["value"]:.2f} [{low:.2f}, {high:.2f}]'
                print(f'  {subject}: {found["method"]}, {figures}, {"right" if right else "WRONG"}', flush=True)
    print(f'{wrong} of {seeds * len(NEW)} wrong; {time.monotonic() - begun:.0f} s')
    return 1 if wrong else 0


def experiment(seed: int) -> config.Experiment:
    """The demo with a small world of this seed."""
    found = options.load(str(DEMO))
    pretraining = dataclasses.replace(config.World().pretraining, max_steps=STEPS, learning_rate=RATE)
    found.world = config.World(**SMALL, seed=seed, pretraining=pretraining)
    return found


def started(study: config.Experiment, workdir: Path, mode: str) -> list[str]:
    """One mode without runs: of training the base alone. What it says."""
    from jaxshift import start

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        start.run(study, workdir, mode, (), ['benchmarks.advise'])
    return said.getvalue().splitlines()


if __name__ == '__main__':
    sys.exit(main(*map(int, sys.argv[1:])))
