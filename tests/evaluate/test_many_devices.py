"""Two processes of two virtual devices each, whose parameters are cut over all of them, against one device."""

import subprocess
import sys

import numpy as np
import pytest
from commandline import COMPARE, ROOT, start
from virtual import environment, free_port

from jaxshift.store import jsonl

MESH = ('--config.mesh.data=1', '--config.mesh.fsdp=2', '--config.mesh.tensor=2')


@pytest.fixture(scope='module')
def asked(checkpoint, tasks):
    named = f'--config.evaluate.tasks={tasks["choice"]},{tasks["generate"]}'
    source = f'dir:{checkpoint[0]}'
    return (
        COMPARE, '--mode=evaluate', f'--config.base.source={source}', f'--config.runs.tuned.source={source}',
        f'--config.prompts.source=file:{tasks["choice"].with_suffix(".json")}', named, '--config.evaluate.limit=4',
    )  # fmt: skip


def samples(folder, task):
    return {
        place: jsonl.read(*(folder / place / 'evaluate').glob(f'*/samples_{task}_*.jsonl'))
        for place in ('base', 'runs/tuned')
    }


def test_both_say_what_one_says_and_one_writes(asked, tmp_path):
    port = free_port()
    both = [
        subprocess.Popen(
            [
                sys.executable, ROOT / 'run.py', *asked, *MESH, f'--workdir={tmp_path / "two"}',
                f'--config.process.coordinator=127.0.0.1:{port}', '--config.process.count=2',
                f'--config.process.index={index}',
            ],
            env=environment(2) | {'PYTHONHASHSEED': 'random'},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for index in range(2)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=600) for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], said
    assert '4 cpu in 2 processes' in said[0][0]
    assert 'evaluate base: choice: acc ' in said[0][0]
    assert 'acc' not in said[1][0]
    assert len([*(tmp_path / 'two').rglob('results_*.json')]) == 2

    one = start(*asked, f'--workdir={tmp_path / "one"}')
    assert one.code == 0, one.err
    scores = [samples(tmp_path / name, 'choice') for name in ('one', 'two')]
    for place in ('base', 'runs/tuned'):
        pairs = [np.array([answer for (answer,) in row['resps']]) for side in scores for row in side[place]]
        expected, found = np.array(pairs[:4]), np.array(pairs[4:])
        np.testing.assert_allclose(found[..., 0].astype(float), expected[..., 0].astype(float), atol=1e-4)
        np.testing.assert_array_equal(found[..., 1], expected[..., 1])
    answers = [[row['resps'] for row in samples(tmp_path / name, 'generate')['base']] for name in ('one', 'two')]
    assert answers[0] == answers[1]
