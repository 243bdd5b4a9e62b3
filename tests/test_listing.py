"""What `--mode=list` says of a workdir, read from its records alone."""

import json

import pytest

from jaxshift import listing, options


@pytest.fixture
def workdir(tmp_path):
    """Makes a workdir of records, `begun` ones without files."""

    def make(done: list[str], begun: tuple[str, ...] = (), folder=''):
        for name in (*done, *begun):
            path = tmp_path / folder / 'done' / f'{name}.json'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({'settings': {}, 'files': None if name in begun else {}}))
        return tmp_path

    return make


def listed(folder, cells=(), width=100) -> list[str]:
    lines = listing.text(folder / 'no configs', folder, cells, width).splitlines()
    return lines[lines.index(f'{folder}:') + 1 :]


def test_stages_stand_in_the_order_in_which_they_are_done(workdir):
    folder = workdir(['train-lora', 'train-full', 'data', 'report'], ('respond-lora',))
    assert listed(folder) == [
        '  data     done',
        '  train    done full, lora',
        '  respond  begun lora',
        '  report   done',
    ]


def test_a_stage_whose_files_are_gone_or_changed_is_not_done(workdir):
    folder = workdir(['data', 'train-lora', 'train-full'])
    for name, file in (('data', 'a.npy'), ('train-lora', 'b.npy'), ('train-full', 'c.npy')):
        (folder / f'done/{name}.json').write_text(json.dumps({'settings': {}, 'files': {file: {'bytes': 2}}}))
    (folder / 'a.npy').write_text('ab')
    (folder / 'b.npy').write_text('abc')
    assert listed(folder) == ['  data   done', '  train  damaged full, lora']
    (folder / 'b.npy').write_text('ab')
    assert listed(folder) == ['  data   done', '  train  done lora; damaged full']


def test_a_workdir_that_is_not_there_is_told(tmp_path):
    assert listed(tmp_path / 'mistyped') == ['  no such folder']


def test_runs_with_the_same_analyses_stand_together(workdir):
    done = [f'causes-{run}.{name}' for run in ('a', 'b') for name in ('truth', 'imitation')]
    folder = workdir([*done, 'causes-c.truth'], ('causes-c.imitation',))
    assert listed(folder) == ['  causes  done imitation, truth of a, b; truth of c; begun imitation of c']


def test_cells_of_a_grid_in_the_same_state_stand_together_and_none_is_missing(workdir):
    for cell in ('n1', 'n2'):
        folder = workdir(['data', 'train-lora', 'train-full'], (), f'cells/{cell}')
    workdir(['data'], ('train-full',), 'cells/n3')
    assert listed(folder, ('n1', 'n2', 'n3', 'n4', 'n5')) == [
        '  2 cells: done data 1, train 2', '      n1, n2',
        '  1 cell: done data 1; begun train', '      n3',
        '  2 cells: not begun', '      n4, n5',
    ]  # fmt: skip


@pytest.mark.parametrize('width', [40, 80])
def test_lines_are_no_longer_than_the_terminal_is_wide(workdir, width, tmp_path):
    folder = workdir([f'train-a_run_with_a_name_{number}' for number in range(20)])
    (folder / 'no configs').mkdir()
    (folder / 'no configs/mine.py').write_text(f'"""{"A study of many words. " * 9}"""')
    lines = listing.text(folder / 'no configs', folder, (), width).splitlines()
    lines = [line for line in lines if str(tmp_path) not in line and 'mine.py' not in line]
    assert max(map(len, lines)) <= width


def test_each_config_has_a_first_line_that_is_a_sentence(pytestconfig):
    for path, line in options.config_files(pytestconfig.rootpath / 'configs').items():
        assert line.endswith(('.', '?')), path
