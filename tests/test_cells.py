"""The cells of a grid, before anything runs."""

import pytest
from commandline import DEMO, ROOT, start

from jaxshift import cells, options
from jaxshift.cells import Cell
from jaxshift.errors import InputError

WORLD = str(ROOT / 'configs/study_world.py')
TWO = {'a_small': Cell('a', 60, 0, {'world.instructions': 60}), 'a_large': Cell('a', 480, 0, {}, ('lora',))}


def test_a_config_without_cells_is_one_study():
    assert cells.load(DEMO.partition('=')[2]) == {}


def test_the_world_grid_has_a_cell_a_seed_and_size():
    found = cells.load(WORLD)
    assert len(found) == 15
    assert (found['seed4_n480'].seed, found['seed4_n480'].size) == (4, 480)
    experiments = cells.experiments(options.load(WORLD), found)
    assert {each.world.instructions for each in experiments.values()} == {60, 240, 480}
    assert experiments['seed3_n60'].world.seed == 3
    assert {run.seed for run in experiments['seed3_n60'].runs.values()} == {3}


def test_a_cell_has_its_own_values_and_leaves_those_of_others_alone():
    common = options.load(DEMO.partition('=')[2])
    found = cells.experiments(common, TWO)
    assert (found['a_small'].world.instructions, found['a_large'].world.instructions) == (60, 240)
    assert list(found['a_large'].runs) == ['lora']
    assert len(found['a_small'].runs) == 6


@pytest.mark.parametrize(
    ('cell', 'said'),
    [
        (Cell('a', 1, 0, {'world.sed': 1}), 'cell x sets or names what the config has not'),
        (Cell('a', 1, 0, {}, ('lroa',)), "cell x sets or names what the config has not: 'lroa'"),
        (Cell('a', 1, 0, {'sweep.chunk': 0}), 'cell x: config.sweep.chunk is 0'),
    ],
)
def test_a_cell_that_cannot_be_is_named(cell, said):
    with pytest.raises(InputError, match=said):
        cells.experiments(options.load(DEMO.partition('=')[2]), {'x': cell})


def test_cells_are_chosen_by_name_or_pattern_in_their_order():
    assert cells.chosen(['a_large', 'a_s*'], TWO) == ['a_small', 'a_large']
    assert cells.chosen([], TWO) == []
    with pytest.raises(InputError, match="no cell 'a_smal' among the 2 of the config; did you mean a_small[?] --mode"):
        cells.chosen(['a_smal'], TWO)


def test_a_key_that_the_cells_set_is_not_taken_from_the_command_line(tmp_path):
    ended = start(f'--config={WORLD}', '--config.world.seed=7', f'--workdir={tmp_path}')
    assert ended.code == 2
    assert 'config.world.seed is set by the cells of this config (seed0_n60 and others)' in ended.error()


def test_a_cell_that_is_not_there_is_answered_by_the_nearest(tmp_path):
    ended = start(f'--config={WORLD}', '--only=seed0_n61', f'--workdir={tmp_path}')
    assert "no cell 'seed0_n61' among the 15 of the config; did you mean seed0_n60?" in ended.error()
