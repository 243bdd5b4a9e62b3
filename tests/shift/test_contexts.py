"""Which windows a study compares: on the tiny world through run.py, and case by case."""

import json
import shutil
from copy import deepcopy

import pytest
from commandline import TINY, start
from tokenizers import processors

from jaxshift.data import formats, template
from jaxshift.data.formats import Example, Message
from jaxshift.shift import aligntds, contexts, records, templates
from jaxshift.shift.contexts import Case
from jaxshift.weights.tokenizer import from_folder

ASKED = (
    '--config.sweep.contexts=own,shared,reference,base',
    '--config.sweep.context_lengths=-1,3',
    '--config.sweep.templates=matched,native',
)


@pytest.fixture(scope='module')
def compared(finished, tmp_path_factory):
    """The tiny world, compared in four contexts, two templates and two lengths."""
    folder = tmp_path_factory.mktemp('compared') / 'copy'
    shutil.copytree(finished, folder)
    ended = start(*TINY, *ASKED, f'--workdir={folder}')
    assert ended.code == 0, ended.err
    return folder, ended


def rows(folder, run, **wanted):
    table = records.read(folder / 'runs' / run / 'tokens').to_pylist()
    chosen = [row for row in table if all(row[key] == value for key, value in wanted.items())]
    return sorted(chosen, key=lambda row: (row['example_id'], row['position']))


def tokens(folder, run, **wanted):
    return [(row['example_id'], row['position'], row['token_id']) for row in rows(folder, run, **wanted)]


def test_every_window_has_its_summary_in_the_order_asked(compared):
    found = json.loads((compared[0] / 'runs/lora/summary.json').read_text())
    keys = [(item['template'], item['context'], item['context_length']) for item in found]
    assert keys == [
        (template, context, length)
        for template in ('matched', 'native')
        for context in ('own', 'shared', 'reference', 'base')
        for length in (-1, 3)
    ]
    assert found[0]['sentences']['rule'].startswith('ends after')
    assert found[0]['classes'] == {'marginal_above': 1, 'shifted_above': 3}


def test_other_windows_answer_nothing_again(compared):
    assert 'respond lora: done before' in compared[1].out
    again = [line.partition(':')[0] for line in compared[1].out.splitlines() if 'doing it again' in line]
    causes = ('truth', 'style_tokens', 'borrowing', 'uncertainty')
    assert again == [
        'sweep lora', 'summary lora', 'sweep full', 'summary full',
        *(f'causes {run}.{each}' for each in causes for run in ('lora', 'full')), 'report',
    ]  # fmt: skip


@pytest.mark.parametrize('context', ['shared', 'reference', 'base'])
def test_two_runs_see_the_same_tokens_position_by_position(compared, context):
    folder, _ = compared
    seen = [tokens(folder, run, context=context, template='matched', context_length=-1) for run in ('lora', 'full')]
    assert seen[0] == seen[1] != []
    own = [tokens(folder, run, context='own', template='matched', context_length=-1) for run in ('lora', 'full')]
    assert own[0] != own[1]
    if context == 'shared':
        assert seen[1] == own[0]


def test_own_windows_are_measured_as_they_are_alone(compared, finished):
    alone = rows(finished, 'lora', context='own')
    assert rows(compared[0], 'lora', context='own', template='matched', context_length=-1) == alone


def test_the_reference_is_the_answer_of_the_prompts_file(compared):
    folder, _ = compared
    prompts = json.loads((folder / 'data/world/prompts.json').read_text())
    tokenizer = from_folder(folder / 'base')
    written: dict[str, list[str]] = {}
    for example, _, token in tokens(folder, 'full', context='reference', template='matched', context_length=-1):
        written.setdefault(example, []).append(tokenizer.decode([token]))
    assert {name: ' '.join(words[:-1]) for name, words in written.items()} == {
        prompt['id']: prompt['output'] for prompt in prompts
    }


def test_the_report_draws_and_lists_all_windows(compared):
    folder, _ = compared
    page = (folder / 'report/index.html').read_text()
    assert '>reference</td>' in page
    assert 'figures/context_length.svg' in page
    curves = (folder / 'report/tables/curves.csv').read_text().splitlines()
    assert '"context","template","context_length"' in curves[0]


def test_prompts_without_answers_end_in_one_line(compared, tmp_path):
    folder, _ = compared
    prompts = [{'id': 'a', 'instruction': 'where was ada abbott born ?'}]
    path = tmp_path / 'prompts.json'
    path.write_text(json.dumps(prompts))
    copy = shutil.copytree(folder, tmp_path / 'copy')
    asked = (f'--config.prompts.source=file:{path}', '--config.sweep.contexts=reference', '--only=lora')
    ended = start(*TINY, *asked, f'--workdir={copy}')
    assert ended.code == 2
    assert f'{path}: no prompt has an answer for context reference; give the records an output' in ended.error()
    path.write_text(json.dumps([*prompts, {'id': 'b', 'instruction': 'where ?', 'output': 'in town .'}]))
    ended = start(*TINY, *asked, f'--workdir={copy}')
    assert ended.code == 0, ended.err
    (item,) = json.loads((copy / 'runs/lora/summary.json').read_text())
    assert item['counts']['prompts_without_reference'] == 1
    assert item['all']['responses'] == 1


def test_checkpoints_and_the_arithmetic_of_aligntds_stand_beside_the_rest(copy):
    shutil.rmtree(copy / 'runs/lora/checkpoints')
    (copy / 'done/train-lora.json').unlink()
    asked = (*TINY, f'--workdir={copy}', '--only=lora', '--config.runs.lora.keep_steps=75')
    assert start(*asked).code == 0
    before = (copy / 'runs/lora/responses.jsonl').stat().st_mtime_ns
    alone, truth = rows(copy, 'lora'), (copy / 'runs/lora/causes/truth.json').read_bytes()
    ended = start(*asked, '--config.sweep.compat=aligntds', '--config.sweep.steps=75')
    assert ended.code == 0, ended.err
    assert (copy / 'runs/lora/responses.jsonl').stat().st_mtime_ns == before
    found = json.loads((copy / 'runs/lora/summary.json').read_text())
    assert [(item['step'], item['steps']) for item in found] == [(150, 150), (75, 75)]
    assert found[0]['all']['kl_tuned_base']['mean'] != found[1]['all']['kl_tuned_base']['mean']
    by_place = {'aligntds_sentence_start', 'aligntds_sentence_rest'}
    assert {name for name in found[0]['all'] if name.startswith('aligntds_')} == {*aligntds.COLUMNS, *by_place}
    assert (copy / 'runs/lora/causes/truth.json').read_bytes() == truth  # the last step's
    last = rows(copy, 'lora', step=150)
    assert [{key: row[key] for key in alone[0]} for row in last] == alone
    tokens = {path: path.stat().st_mtime_ns for path in copy.glob('runs/lora/tokens/*')}
    ended = start(*asked, '--config.sweep.steps=20')
    assert ended.code == 2
    assert (
        'config.sweep.steps has 20, which run lora does not keep; name it in config.runs.lora.keep_steps'
        in ended.error()
    )
    assert {path: path.stat().st_mtime_ns for path in copy.glob('runs/lora/tokens/*')} == tokens


@pytest.mark.parametrize(
    ('length', 'bos', 'kept'),
    [(-1, 1, [1, 5, 6, 7]), (2, 1, [1, 6, 7]), (3, 1, [1, 5, 6, 7]), (9, 1, [1, 5, 6, 7]), (2, None, [6, 7])],
)
def test_a_window_keeps_the_beginning_and_the_last_prompt_tokens(length, bos, kept):
    found = contexts.shortened(Case('a', [1, 5, 6, 7], [1, 5, 6, 7], [8]), length, bos)
    assert found == Case('a', kept, kept, [8])


def test_what_cannot_be_compared_is_counted():
    answered = [
        {'example_id': name, 'prompt_token_ids': [1, 2], 'token_ids': ids, 'finish_reason': reason}
        for name, ids, reason in (('a', [3], 'stop'), ('b', [], 'stop'), ('c', [3] * 6, 'length'), ('d', [3], 'stop'))
    ]
    found, counts = contexts.cases(answered, {'a': [7], 'b': [7], 'c': [7] * 5}, 10)
    assert found == [Case('a', [7], [1, 2], [3])]
    assert counts == {
        'empty_responses': 1,
        'cut_responses': 1,
        'responses_over_context_behind_base_prompt': 1,
        'prompts_unknown_to_prompts_source': 1,
    }


def test_a_reference_is_what_training_would_see_and_is_cut_at_the_context(tokenizer):
    chosen = template.choose(tokenizer, 'paper')
    turns = (Message('user', 'capital of France'), Message('assistant', 'Paris is the capital'))
    examples = [Example('a', turns, 'here'), Example('b', turns[:1], 'here')]
    (row,), counts = contexts.references(examples, chosen, 100)
    assert row['prompt_token_ids'] == chosen.prompt_ids(turns[:1])
    assert row['prompt_token_ids'] + row['token_ids'] == chosen.example(turns)[0]
    assert row['finish_reason'] == 'stop'
    assert counts == {'prompts_without_reference': 1}
    length = len(row['prompt_token_ids'])
    (cut,), _ = contexts.references(examples, chosen, length + 2)
    assert cut['token_ids'] == row['token_ids'][:2]
    assert cut['finish_reason'] == 'length'
    for context in (length, length - 1):  # no room for an answer
        assert contexts.references(examples, chosen, context) == (
            [], {'prompts_without_reference': 1, 'prompts_over_context': 1},
        )  # fmt: skip


def test_a_base_is_prompted_in_plain_text_or_behind_examples(smollm2_source):
    tokenizer = deepcopy(smollm2_source.tokenizer)
    tokenizer.add_tokens(['<tool_call>'])  # as fine-tuned models have it: not special, but written by the template
    tokenizer.chat_template = f'<tool_call>{tokenizer.chat_template}'
    chosen = template.choose(tokenizer)
    turns = (Message('system', 'Be brief.'), Message('user', 'What is <tool_call> or <|im_end|>?'))
    native, ids = (templates.prompt_ids(chosen, name, turns) for name in ('native', 'urial'))
    assert {*tokenizer.convert_tokens_to_ids(['<tool_call>', '<|im_end|>'])}.isdisjoint(native + ids)
    assert tokenizer.decode(native) == 'Be brief.\n\nWhat is <tool_call> or <|im_end|>?\n\n'
    text = tokenizer.decode(ids)
    assert text.count('# Answer:\n') == 1 + len(templates.EXAMPLES) == 4
    assert text.startswith(templates.PREAMBLE)
    assert text.endswith('Be brief.\n\n# Question:\nWhat is <tool_call> or <|im_end|>?\n\n# Answer:\n')
    assert formats.prompts(Example('a', turns, 'here')) == turns


@pytest.mark.parametrize(('pattern', 'begin'), [('$A', []), ('<s> $A', [1]), ('<s> $A </s>', [1]), ('$A </s>', [])])
def test_the_prompt_of_a_base_begins_as_the_tokenizers_texts_do_and_does_not_end(tokenizer, pattern, begin):
    own = deepcopy(tokenizer)
    own.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=pattern, special_tokens=[('<s>', 1), ('</s>', 2)]
    )
    turns = (Message('user', 'the capital of France'),)
    assert templates.prompt_ids(template.choose(own), 'native', turns) == [*begin, 3, 4, 5, 6]
