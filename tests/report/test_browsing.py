import itertools
import json
import math

import made_up_responses
import numpy as np
import pyarrow as pa
import pytest
from made_up_responses import END, PIECES, reader
from unpacked import unpacked

from jaxshift.report import browsing, positions, results
from jaxshift.shift import records
from jaxshift.shift.classes import CLASSES
from jaxshift.store.paths import Workdir

ROOM = 10**7  # bytes, more than any of these takes


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
    return Workdir(made_up_responses.make(tmp_path_factory.mktemp('talk') / 'workdir'))


@pytest.fixture(scope='module')
def found(workdir):
    loaded = results.load(workdir)
    object.__setattr__(loaded, 'explained', {run: {'borrowing': {}} for run in loaded.responses})
    return loaded


@pytest.fixture(scope='module')
def html(found):
    return browsing.browser(found, reader, [END], ROOM).islands


@pytest.fixture(scope='module')
def shared(html):
    return unpacked(html, 'examples')


def value(name, code, about):
    """The number behind a code."""
    return math.expm1(code / about['codes'][name]['scale']) / about['codes'][name]['per']


def listed(nats, about):
    return min(round(about['codes']['listed']['scale'] * math.log1p(about['codes']['listed']['per'] * nats)), 255)


def nats_of(row, columns, about):
    """Minus the log-probabilities of the emitted token and of the first choice, and the difference of the former."""
    code, likelier = columns['delta'][row], value('logprob', columns['emitted'][row], about)
    delta = value('delta', code // 2, about) * (-1) ** code
    found = {'delta': delta, 'emitted_base': likelier + max(delta, 0), 'emitted_tuned': likelier + max(-delta, 0)}
    other = value('logprob', columns['base'][row], about)
    return found | {'base': other if columns['token'][row] else found['emitted_base']}


def probability_is_right(nats, logprob):
    """As browser.html says."""
    share = 0.01 if logprob >= math.log(0.01) else 0.03
    assert math.exp(-nats) == pytest.approx(math.exp(logprob), rel=share) or logprob < math.log(1e-6)


def rows_of(workdir, view):
    table = records.read(workdir.run(view['run']) / 'tokens')
    rows = [row for row in table.to_pylist() if row['context'] == view['context']]
    return sorted(rows, key=lambda row: (row['example_id'], row['position']))


def lists_of(row, columns, about, cursor):
    """Both lists at a position as (token, code) pairs; `cursor` remembers how far the columns have been read."""
    base, tuned, code = [], [], listed(nats_of(row, columns, about)['base'], about)
    for _ in range(columns['base_count'][row]):
        index = next(cursor['base'])
        code = (code + columns['base_steps'][index]) % 256
        base.append((columns['base_tokens'][index], code))
    left, code = list(base), listed(nats_of(row, columns, about)['emitted_tuned'], about)
    for place in range(columns['tuned_count'][row]):
        index = next(cursor['tuned'])
        where = columns['tuned_where'][index]
        if where == about['nowhere']:
            token, before = columns['tuned_new'][next(cursor['new'])], code
        else:
            token, before = left.pop(where)
        code = ((before if place else code) + columns['tuned_steps'][index]) % 256
        tuned.append((token, code))
    return base, tuned


@pytest.mark.parametrize('number', range(4))
def test_a_view_says_what_the_records_say(workdir, html, shared, number):
    about, examples = shared
    _, columns = unpacked(html, f'view-{number}')
    rows = rows_of(workdir, about['views'][number])
    assert sum(columns['lengths']) == len(rows)
    assert [example for example, length in zip(examples['ids'], columns['lengths'], strict=True)
            for _ in range(length)] == [row['example_id'] for row in rows]  # fmt: skip
    cursor = {name: itertools.count() for name in ('base', 'tuned', 'new')}
    for place, row in enumerate(rows):
        lists = dict(zip(('base', 'tuned'), lists_of(place, columns, about, cursor), strict=True))
        first = lists['tuned'][0][0]
        assert examples['token_texts'][(columns['token'][place] + first) % 2**32] == PIECES[row['token_id']]
        assert CLASSES[columns['class'][place]] == row['shift_class']
        assert columns['rank'][place] == row['base_rank']
        assert (columns['emitted_rank'][place] + columns['rank'][place]) % 2**32 == row['emitted_base_rank']
        assert columns['emitted_tuned_rank'][place] + 1 == row['emitted_tuned_rank']
        for name, code in (('kl_tuned_base', 'kl'), ('base_entropy', 'entropy'), ('tuned_entropy', 'entropy')):
            stored = columns[name.removesuffix('_tuned_base')][place]
            assert value(code, stored, about) == pytest.approx(row[name], rel=0.01, abs=0.001), name
        nats = nats_of(place, columns, about)
        delta = row['emitted_tuned_logprob'] - row['emitted_base_logprob']
        assert nats['delta'] == pytest.approx(delta, rel=0.01, abs=0.001)
        for name in ('base', 'emitted_base', 'emitted_tuned'):
            probability_is_right(nats[name], row[f'{name}_logprob'])
        for name, pairs in lists.items():
            ids, logprobs = row[f'top_ids_{name}'], row[f'top_logprobs_{name}']
            kept = [n for n in range(len(ids)) if n == 0 or logprobs[n] >= math.log(positions.LEAST)]
            assert [examples['token_texts'][token] for token, _ in pairs] == [PIECES[ids[n]] for n in kept]
            for (_, code), n in zip(pairs, kept, strict=True):
                shown = math.exp(-value('listed', code, about))
                assert shown == pytest.approx(math.exp(logprobs[n]), rel=0.1)


@pytest.mark.parametrize('base', [1e-6, 1e-4, 0.01, 0.3, 0.9, 0.999])
@pytest.mark.parametrize('tuned', [1e-6, 1e-4, 0.01, 0.3, 0.9, 0.999])
def test_log_probabilities_of_emitted_tokens_are_as_exact_as_the_page_says(base, tuned):
    names = ['emitted_base_logprob', 'emitted_tuned_logprob']
    logs = np.log(np.multiply.outer([base, tuned], np.linspace(1, 1.001, 200)))
    said = positions.emitted(pa.table(dict(zip(names, logs, strict=True))))
    for nats, exact in zip((said.base_nats, said.tuned_nats), logs, strict=True):
        for one, other in zip(nats, exact, strict=True):
            probability_is_right(one, other)
    differences = said.base_nats - said.tuned_nats
    np.testing.assert_allclose(differences, logs[1] - logs[0], rtol=0.01, atol=0.001)


def test_prompts_without_a_position_are_counted(tmp_path):
    workdir = Workdir(made_up_responses.make(tmp_path / 'workdir', examples=3, contexts=('own',)))
    for run in ('lora', 'full'):
        empty = {'example_id': 'silent', 'prompt': '?', 'prompt_token_ids': [3], 'response': '', 'token_ids': []}
        with workdir.responses(run).open('a') as file:
            file.write(json.dumps(empty) + '\n')
    found = browsing.browser(results.load(workdir), reader, [END], ROOM)
    assert (found.examples, found.left_out, found.unanswered) == (3, 0, 1)


def test_examples_are_named_with_their_prompts(shared):
    about, examples = shared
    assert examples['ids'] == [f'q{n:02d}' for n in range(12)]
    assert examples['prompts'] == [f'what is {n} <b>&amp;</b> why?' for n in range(12)]
    assert set(examples['token_texts']) == set(PIECES)
    assert [examples['token_texts'][place] for place in examples['ends']] == [PIECES[END]]
    assert [(view['run'], view['context'], view['whose']) for view in about['views']] == [
        ('lora', 'own', 'its own response'),
        ('lora', 'shared', 'the response of lora'),
        ('full', 'own', 'its own response'),
        ('full', 'shared', 'the response of lora'),
    ]


def test_tokens_are_numbered_by_how_often_they_occur():
    """So that their numbers are small."""
    tokens, places = positions.numbered([np.array([7, 7, 2, 9]), np.array([9, 7])])
    assert tokens.tolist() == [7, 9, 2]
    assert places[[7, 9, 2]].tolist() == [0, 1, 2]


def test_a_character_of_several_tokens_reads_whole(workdir, html, shared):
    _, columns = unpacked(html, 'view-0')
    texts = dict(zip(columns['divided'], columns['divided_texts'], strict=True))
    rows = rows_of(workdir, shared[0]['views'][0])
    responses = [list(group) for _, group in itertools.groupby(rows, key=lambda row: row['example_id'])]
    place = 0
    for response in responses:
        ids = [row['token_id'] for row in response]
        for token, text in zip(ids, reader(ids), strict=True):
            assert texts.get(place, PIECES[token]) == text
            place += 1
    assert '中' in columns['divided_texts']


def test_borrowed_spans_stand_with_the_likeliest_row(html):
    _, columns = unpacked(html, 'view-0')
    spans = zip(*(columns[f'span_{name}'] for name in ('example', 'position', 'tokens', 'borrowed')), strict=True)
    assert list(spans) == [(0, 0, 2, 0), (0, 1, 2, 1), (3, 0, 4, 0)]
    assert columns['span_row'] == [0, 1, 0]
    assert (columns['row_ids'], columns['row_counts']) == (['tune-7'], [3])
    assert columns['row_texts'] == ['best </script><b>row</b>']
    assert 'span_example' not in unpacked(html, 'view-1')[1]  # of a shared context


def test_outdated_spans_are_not_shown(workdir):
    html = browsing.browser(results.load(workdir), reader, [END], ROOM).islands
    assert 'span_example' not in unpacked(html, 'view-0')[1]


def test_examples_beyond_the_size_of_a_page_are_counted(found, html):
    most = int(0.8 * len(html))
    small = browsing.browser(found, reader, [END], most)
    assert len(small.islands) <= most
    assert 0 < small.examples < 12
    assert small.examples + small.left_out == 12
    assert unpacked(small.islands, 'examples')[1]['ids'] == [f'q{n:02d}' for n in range(small.examples)]


def test_the_same_id_of_another_prompt_is_another_example(tmp_path):
    workdir = Workdir(made_up_responses.make(tmp_path / 'workdir', examples=3, contexts=('own',)))
    path = workdir.responses('full')
    path.write_text(path.read_text().replace('"prompt_token_ids": [3, 1]', '"prompt_token_ids": [4, 1]'))
    html = browsing.browser(results.load(workdir), reader, [END], ROOM).islands
    assert unpacked(html, 'examples')[1]['ids'] == ['q00', 'q01', 'q02', 'q01']
    lengths = [unpacked(html, f'view-{number}')[1]['lengths'] for number in range(2)]
    assert lengths == [[7, 8, 9, 0], [7, 0, 9, 8]]
