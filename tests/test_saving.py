"""Copies of a report spare the files of others; and what is no workdir is not loaded."""

import shutil

import pytest

import jaxshift
from jaxshift.errors import InputError


def test_saving_replaces_an_older_copy_and_nothing_else(finished, tmp_path):
    found, target = jaxshift.load(finished), tmp_path / 'mine'
    found.save(target)
    (target / 'tables/runs.csv').write_text('older')
    assert found.save(target) == target / 'index.html'
    assert (target / 'tables/runs.csv').read_bytes() == (finished / 'report/tables/runs.csv').read_bytes()
    (target / 'tables/mine.csv').write_text('mine')
    (tmp_path / 'page').mkdir()
    (tmp_path / 'page/index.html').write_text('mine')
    for other in (target, tmp_path / 'page', tmp_path):
        with pytest.raises(InputError, match='holds files that this report has not; name a new or an empty folder'):
            found.save(other)
    assert (target / 'tables/mine.csv').read_text() == (tmp_path / 'page/index.html').read_text() == 'mine'
    (tmp_path / 'other/report').mkdir(parents=True)
    (tmp_path / 'other/experiment.json').write_text('{}')
    for inside in (finished / 'report', finished / 'report/copy', tmp_path / 'other/report'):
        with pytest.raises(InputError, match='is where the report of a study lies; name another folder'):
            found.save(inside)
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match=r'cannot be written there \((Not a d|File e).*; name another folder'):
        found.save(tmp_path / 'file')


def test_a_grid_names_its_cells(finished, tmp_path):
    shutil.copy(finished / 'experiment.json', tmp_path)
    (tmp_path / 'cells/n1').mkdir(parents=True)
    with pytest.raises(InputError, match='a grid; give the folder of a cell, .*/cells/n1 for one'):
        jaxshift.load(tmp_path)


def test_a_folder_that_is_no_workdir_is_refused(finished, copy, tmp_path):
    with pytest.raises(InputError, match=r'experiment.json: cannot be read \(No such file or directory\); name the'):
        jaxshift.load(tmp_path)
    with pytest.raises(InputError, match='no such run has been compared; there are lora, full'):
        jaxshift.load(finished, 'lora_best')
    with pytest.raises(InputError, match=r"no example 'held-ou' among \d+; did you mean held-out"):
        jaxshift.load(finished).show('held-ou')
    shutil.rmtree(copy / 'report')
    with pytest.raises(InputError, match='no report yet; write it by --mode=report'):
        jaxshift.load(copy).save(tmp_path)
    (copy / 'experiment.json').write_text('{"config": {"other": 1}}')
    with pytest.raises(InputError, match='not of this version of jaxshift'):
        jaxshift.load(copy)
