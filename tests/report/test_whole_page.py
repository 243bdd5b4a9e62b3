"""The page with every part that it can have, as Chromium shows it."""

import json

import pytest
import test_annotated_section
import test_borrowing_section
import test_dynamics_section
import test_imitation_section
import test_interpolation_section
import test_judged
import test_knowledge_section
import test_style_tokens_section
import test_swaps_section
import test_treatments_section
import test_uncertainty_section
import test_weights_section
from made_up import END, PIECES, make_workdir

from jaxshift.judge import preferences
from jaxshift.report import explained, page, results
from jaxshift.store.paths import Workdir

A4 = 718  # pixels between the margins of a page on paper
FORGOTTEN = {
    'task': 'a', 'metric': 'acc', 'filter': 'none', 'unit': '', 'better': 'higher', 'base': 0.5, 'tuned': 0.4,
    'difference': -0.1, 'interval': [-0.2, 0.0], 'n': 50, 'unpaired': 1,
}  # fmt: skip


def figures():
    """What the analyses of each run would have found, by run and name."""
    found = {
        'lora': {'knowledge': test_knowledge_section.KNOWN, 'forgetting': test_knowledge_section.FORGOTTEN},
        'full': {'borrowing': test_borrowing_section.FOUND, 'borrowing.retrained': test_borrowing_section.PROOF},
    }
    for made in (
        test_dynamics_section.found(),
        test_interpolation_section.found(test_interpolation_section.POINTS),
        test_swaps_section.found(test_swaps_section.POINTS),
        test_uncertainty_section.found(),
        test_weights_section.found(test_weights_section.MODULES),
    ):
        for run, items in made.explained.items():
            found[run] = found.get(run, {}) | items
    return {run: items for run, items in found.items() if items}


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    root = make_workdir(tmp_path_factory.mktemp('whole'), 24)
    for run, items in figures().items():
        for name, each in items.items():
            (root / f'runs/{run}/causes/{name}.json').write_text(json.dumps(each))
    for part in (test_style_tokens_section.explain, test_imitation_section.explain):
        part(root)
    for seed, run in enumerate(('lora', 'full')):
        test_judged.judge(root, run, 'oracle', seed)
    won = preferences.figures([(f'q{i}', 'win') for i in range(8)] + [('q8', 'loss')], 1, 200)
    pairs = {'judge': 'stern', 'other': 'full', **won}
    (root / 'runs/lora/judge/stern.pairs.json').write_text(json.dumps(pairs))
    forgetting = Workdir(root).forgetting('lora')
    forgetting.parent.mkdir(parents=True)
    forgetting.write_text(json.dumps({'rows': [FORGOTTEN]}))
    test_treatments_section.treat(root)
    test_annotated_section.mark(root)
    assert len(explained.sections(results.load(Workdir(root)))) == len(explained.SECTIONS)
    return page.write(root, PIECES, [END])


@pytest.mark.parametrize(('width', 'scheme'), [(1440, 'light'), (1440, 'dark'), (360, 'light')])
def test_every_part_is_accessible_and_asks_for_nothing(opened, whole, width, scheme):
    found = opened(whole, width, scheme)
    found.page.wait_for_selector('#browser.ready')
    found.page.evaluate('for (const each of document.querySelectorAll("main details")) each.open = true')
    assert found.faults() == []


def test_boxes_take_the_focus_where_they_scroll_or_are_read(opened, whole):
    found = opened(whole)
    found.page.wait_for_selector('#browser.ready')
    boxes = found.page.evaluate(
        """[...document.querySelectorAll('.wide')].map((box) => [box.tabIndex === 0,
            box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight
            || box.querySelector('svg[data-plot]') !== null])"""
    )
    assert {focused for focused, _ in boxes} == {True, False}
    assert all(focused == wanted for focused, wanted in boxes)


def test_nothing_is_off_the_paper(opened, whole):
    found = opened(whole, A4)
    found.page.emulate_media(media='print')
    outside = found.page.evaluate(
        f"""[...document.querySelectorAll('main *')].filter((each) => each.getBoundingClientRect().right > {A4} + 1
            && !each.closest('#browser')).map((each) => each.closest('[aria-label]')?.ariaLabel ?? each.outerHTML)"""
    )
    assert outside == []
    cut = found.page.evaluate(
        """[...document.querySelectorAll('.wide')].filter((box) => box.scrollHeight > box.clientHeight + 1
            || getComputedStyle(box).maxHeight !== 'none').map((box) => box.ariaLabel)"""
    )
    assert cut == []
