"""Figures as Chromium reads them out, by pointer and by key, and hides their runs."""

import re

import pytest
from made_up import END, PIECES, RUNS, make_workdir
from pyarrow import csv

from jaxshift.report import page


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
    folder = make_workdir(tmp_path_factory.mktemp('plain'), 8, {run: RUNS[run] for run in ('lora', 'full')})
    return page.write(folder, PIECES, [END])


def curves(found):
    return found.page.locator('figure', has=found.page.locator('[aria-label="Figure position_curves"]'))


def reading(figure):
    return figure.locator('.reading').text_content()


def focus(figure):
    figure.locator('[role=group]').focus()


def test_lines_are_read_out_under_the_pointer(opened, plain):
    found = opened(plain)
    figure = curves(found)
    drawn = figure.locator('svg').bounding_box()
    assert reading(figure).startswith('Point at lines to read them')
    rows = csv.read_csv(plain.parent / 'tables/curves.csv').to_pylist()
    said = set()
    for share in (0.15, 0.25, 0.4):
        at = {'x': share * drawn['width'], 'y': 0.15 * drawn['height']}
        figure.locator('svg').hover(position=at, force=True)
        told = reading(figure)
        at, values = re.fullmatch(
            r'position in the response, from 1: (\d+)\. mean KL\(tuned ‖ base\), nats: (.*)\.', told
        ).groups()
        for value in values.split('; '):
            run, number = value.rsplit(' ', 1)
            (mean,) = [
                row['mean']
                for row in rows
                if (row['run'], row['measure'], row['kind'], row['positions_counted'], row['at'])
                == (run, 'kl_tuned_base', 'absolute', 'all', int(at) - 1)
            ]
            assert float(number) == pytest.approx(mean, rel=1e-3)
            said.add((run, at))
    assert len(said) == 6  # both runs at three places


def test_arrow_keys_step_through_the_places_of_a_panel_and_through_its_panels(opened, plain):
    found = opened(plain)
    figure = curves(found)
    focus(figure)
    told = []
    for key in ('ArrowRight', 'ArrowRight', 'ArrowRight', 'ArrowLeft', 'ArrowDown', 'ArrowUp', 'ArrowUp'):
        found.page.keyboard.press(key)
        told.append(reading(figure))
    places = [re.search(r': ([\d.]+)\. mean KL', each)[1] for each in told]
    assert places[:4] == ['1', '2', '3', '2']
    assert [each.partition(':')[0] for each in told] == [
        *['position in the response, from 1'] * 4, 'place in the response, %', *['position in the response, from 1'] * 2
    ]  # fmt: skip
    assert figure.locator('.reading').get_attribute('aria-live') == 'polite'
    assert figure.locator('svg .here').count() == 1
    assert found.complaints == []


def test_what_is_read_in_a_box_that_scrolls_is_in_sight(opened, plain):
    found = opened(plain, 360)
    box = curves(found).locator('[role=group]')
    box.focus()
    for key in ['ArrowDown'] + ['ArrowRight'] * 20:
        found.page.keyboard.press(key)
    at, frame = curves(found).locator('.here').bounding_box(), box.bounding_box()
    assert frame['x'] <= at['x'] <= frame['x'] + frame['width']


def test_a_run_that_is_hidden_is_neither_drawn_nor_read(opened, plain):
    found = opened(plain)
    figure = curves(found)
    drawn = figure.locator('[data-run=lora]')
    assert drawn.count() == figure.locator('[data-run=full]').count() >= 14  # six lines with bands, and more without
    figure.get_by_label('lora').uncheck()
    assert not drawn.first.is_visible()
    assert figure.locator('[data-run=full]').first.is_visible()
    focus(figure)
    found.page.keyboard.press('ArrowRight')
    assert 'full' in reading(figure)
    assert 'lora' not in reading(figure)
    figure.get_by_label('lora').check()
    assert drawn.first.is_visible()


def test_what_is_read_out_follows_the_runs_that_are_shown(opened, plain):
    found = opened(plain)
    figure = curves(found)
    hint = reading(figure)
    focus(figure)
    found.page.keyboard.press('ArrowRight')
    both = reading(figure)
    assert 'lora' in both
    figure.get_by_label('lora').uncheck()
    one = reading(figure)
    assert one.startswith('position in the response, from 1: 1. mean KL')
    assert 'full' in one
    assert 'lora' not in one
    figure.get_by_label('lora').check()
    assert reading(figure) == both
    for run in ('lora', 'full'):
        figure.get_by_label(run).uncheck()
    assert reading(figure) == hint
    assert figure.locator('svg .here').count() == 0
    figure.get_by_label('full').check()
    focus(figure)
    found.page.keyboard.press('ArrowRight')
    assert reading(figure) == one
    assert found.complaints == []


def test_paper_has_the_runs_that_the_screen_hides(opened, plain):
    found = opened(plain)
    figure = curves(found)
    drawn = figure.locator('[data-run=lora]').first
    figure.get_by_label('lora').uncheck()
    assert not drawn.is_visible()
    found.page.emulate_media(media='print')
    assert drawn.is_visible()
