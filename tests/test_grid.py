"""A grid from end to end: three cells of two tiny worlds."""

import csv
import json
import shutil

import pyarrow.parquet as pq
import pytest
from commandline import DEMO, TINY, start

from jaxshift.shift.classes import CLASSES

GRID = """
import runpy
from jaxshift.cells import Cell
get_config = runpy.run_path({demo!r})['get_config']
def get_cells():
    return {{f'seed{{seed}}_n{{size}}': cell(seed, size) for seed, size in ((0, 16), (0, 24), (1, 16))}}
def cell(seed, size):
    return Cell('world', size, seed, {{'world.seed': seed, 'world.instructions': size}}, ('lora', 'full'))
"""
SHARED = [each for each in TINY[1:-1] if 'instructions' not in each] + ['--config.runs.lora.max_steps=6']


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp('grid') / 'grid.py'
    path.write_text(GRID.format(demo=DEMO.partition('=')[2]))
    return f'--config={path}'


@pytest.fixture(scope='module')
def ran(config, tmp_path_factory):
    """The workdir, and how its one start ended."""
    folder = tmp_path_factory.mktemp('workdir')
    return folder, start(config, *SHARED, f'--workdir={folder}')


def test_every_cell_is_a_workdir_without_a_page_of_its_own(ran):
    folder, ended = ran
    assert ended.code == 0, ended.err
    for cell in ('seed0_n16', 'seed0_n24', 'seed1_n16'):
        assert (folder / 'cells' / cell / 'runs/full/summary.json').is_file()
        assert json.loads((folder / 'cells' / cell / 'experiment.json').read_text())['config']['name'].endswith(cell)
        assert not (folder / 'cells' / cell / 'report').exists()
    assert not (folder / 'cells/seed0_n16/compiled').exists()


def test_cells_of_one_world_share_its_base(ran):
    folder, ended = ran
    one, other, third = (
        (folder / f'cells/{cell}/base/model.safetensors').read_bytes()
        for cell in ('seed0_n16', 'seed0_n24', 'seed1_n16')
    )
    assert one == other != third
    assert [line for line in ended.out.splitlines() if line.startswith('the base is that of')] == [
        f'the base is that of {folder / "cells/seed0_n16"}'
    ]


def test_the_grid_is_summed_up_over_seeds(ran):
    folder, ended = ran
    heading, first, *_, last = ended.out.splitlines()[-6:]  # two sizes of two runs
    assert last.startswith('3 of 3 cells: ')
    assert heading.split() == ['run', 'size', 'seeds', 'mean', 'KL', '95', '%', 'interval', 'base', 'prob', *CLASSES]
    mean = pq.read_table(folder / 'report/tables/means.parquet').to_pylist()[0]
    assert first.split()[:4] == [mean['run'], '16', '2', f'{mean["kl_tuned_base"]:#.3g}']
    assert first.split()[-2] == f'{mean["shifted"]:.1f}'
    page = (folder / 'report/index.html').read_text()
    for part in ('Which findings of the paper hold here', 'Shift against the size of the data', 'Which tokens shift'):
        assert part in page
    assert {path.stem for path in (folder / 'report/tables').glob('*.csv')} >= {
        'cells',
        'means',
        'comparisons',
        'findings',
    }
    assert '| 1 | LoRA shifts the distribution little' in (folder / 'report/findings.md').read_text()


def test_a_second_start_does_nothing_again(config, ran):
    folder, _ = ran
    ended = start(config, *SHARED, f'--workdir={folder}', '--only=seed0_*')
    assert ended.code == 0, ended.err
    assert 'seed1' not in ended.out
    lines = [line for line in ended.out.splitlines() if line.startswith(('train ', 'respond ', 'sweep ', 'base'))]
    assert lines
    assert all(line.endswith('done before') for line in lines)


def test_a_cell_has_a_page_where_it_is_asked_for(config, ran):
    folder, _ = ran
    ended = start(config, *SHARED, f'--workdir={folder}', '--mode=report', '--only=seed1_n16')
    assert ended.code == 0, ended.err
    assert (folder / 'cells/seed1_n16/report/index.html').is_file()
    assert not (folder / 'cells/seed0_n16/report').exists()


def test_the_list_has_the_cells_of_one_state_together(config, ran):
    folder, _ = ran
    words = ' '.join(start('--mode=list', f'--workdir={folder}', config).out.partition(f'{folder}:')[2].split())
    assert 'done world 1, data 1, base 1, train 2, respond 3' in words
    assert 'seed0_n16, seed0_n24' in words  # the third has a page of its own
    assert words.count('seed1_n16') == 1


def test_a_grid_without_results_says_so(config, tmp_path):
    ended = start(config, *SHARED, f'--workdir={tmp_path}', '--mode=report')
    assert ended.code == 2
    assert 'no cell has results yet' in ended.error()


def test_a_cell_that_fails_leaves_the_others_their_turn(config, tmp_path):
    strict = [each for each in SHARED if 'gate' not in each] + ['--config.world.gate=1']
    ended = start(config, *strict, f'--workdir={tmp_path}', '--only=seed0_n16,seed1_n16')
    assert ended.code == 1
    assert ended.error().startswith('failed: 2 of 2 cells: seed0_n16: the base answers 0.')
    assert 'cell seed1_n16 failed: the base answers 0.' in ended.out


def test_a_cell_whose_input_is_at_fault_leaves_the_others_their_turn(config, ran, tmp_path):
    folder, _ = ran
    for cell in ('seed0_n16', 'seed1_n16'):
        shutil.copytree(folder / 'cells' / cell, tmp_path / 'cells' / cell)
    (tmp_path / 'cells/seed0_n16/runs/full/responses.jsonl').write_text('{')
    command = (config, *SHARED, f'--workdir={tmp_path}', '--mode=sheet')
    ended = start(*command, '--only=seed0_n16,seed1_n16')
    assert ended.code == 2
    assert ended.error().startswith('error: 1 of 2 cells: seed0_n16: ')
    assert (tmp_path / 'cells/seed1_n16/sheet/first.csv').is_file()


def test_cells_that_another_config_made_take_no_part_and_are_told(config, ran, tmp_path):
    folder, _ = ran
    shutil.copytree(folder, tmp_path / 'copy')
    experiment = tmp_path / 'copy/cells/seed1_n16/experiment.json'
    record = json.loads(experiment.read_text())
    record['config']['runs']['lora']['learning_rate'] = 0.25
    record['config']['process']['count'] = 7  # changes no figure
    experiment.write_text(json.dumps(record))
    # A run that was renamed has left its folder.
    shutil.copytree(tmp_path / 'copy/cells/seed0_n16/runs/lora', tmp_path / 'copy/cells/seed0_n16/runs/old')
    ended = start(config, *SHARED, f'--workdir={tmp_path / "copy"}', '--mode=report')
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-1].startswith('2 of 3 cells: ')
    page = (tmp_path / 'copy/report/index.html').read_text()
    assert 'seed1_n16: it was made with another config.runs.lora.learning_rate (0.25, now 0.002)' in page
    cells = csv.DictReader((tmp_path / 'copy/report/tables/cells.csv').open())
    assert {(row['cell'], row['run']) for row in cells} == {
        (cell, run) for cell in ('seed0_n16', 'seed0_n24') for run in ('lora', 'full')
    }


def test_json_is_refused_where_a_grid_gives_no_one_advice(config, tmp_path):
    ended = start(config, *SHARED, f'--workdir={tmp_path}', '--mode=advise', '--json')
    assert ended.code == 2
    assert 'a grid has an advice a cell' in ended.error()


def test_a_plan_compiles_what_cells_share_once(config, tmp_path):
    ended = start(config, *SHARED, f'--workdir={tmp_path}', '--mode=plan', '--json')
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert [(row['cell'], row['run'], row['examples']) for row in found['cells'][::2]] == [
        ('seed0_n16', 'lora', 16), ('seed0_n24', 'lora', 24), ('seed1_n16', 'lora', 16),
    ]  # fmt: skip
    assert {row['programs_of'] for row in found['cells']} == {'seed0_n16 lora', 'seed0_n16 full'}
    # Both runs have a train step and a sweep of their own; a full run decodes by the programs of any whole tree.
    assert sum(line.startswith('compiling') for line in ended.err.splitlines()) == 8
    assert not list(tmp_path.iterdir())
