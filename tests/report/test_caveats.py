import dataclasses
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxshift.judge.summary import Verdict
from jaxshift.report import caveats, results
from jaxshift.store.paths import Workdir


@pytest.fixture(scope='module')
def found(workdir):
    return results.load(Workdir(workdir))


def answered(found, run, answers):
    return dataclasses.replace(found, responses=found.responses | {run: answers})


def said(found, words):
    return [line for line in caveats.sentences(found) if words in line]


def test_what_was_skipped_is_counted_for_its_run(found):
    assert said(found, 'cut examples') == ['Run lora: cut examples: 2.']
    assert not said(found, 'refused records')


def test_a_run_without_a_comparison_is_named(found):
    assert said(dataclasses.replace(found, unfinished=['later']), 'Run later has not been compared')


def test_runs_compared_with_other_settings_are_named(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    (tmp_path / 'runs/full').rename(tmp_path / 'runs/dropped')
    asked = {'bootstrap': 200, 'marginal_above': 1, 'shifted_above': 3}
    for run, above in {'lora': 3, 'lora_best': 5, 'dropped': 7}.items():  # full_best keeps no record
        record = {'settings': {'sweep': asked | {'shifted_above': above}}, 'files': {}}
        path = Workdir(tmp_path).done('summary', run)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(record))
    best, dropped = said(results.load(Workdir(tmp_path)), 'compared with another')
    assert best.startswith('Run lora_best has been compared with another sweep.shifted_above (5, now 3), so its')
    assert dropped.startswith('Run dropped has been compared with another sweep.shifted_above (7, now 3), so its')
    assert dropped.endswith('with dropped in the config, or remove runs/dropped.')


def test_a_workdir_without_records_raises_no_doubt_of_its_settings(found):
    assert not said(found, 'compared with another')


def test_runs_over_the_same_prompts_raise_no_doubt(found):
    assert not said(found, 'prompts')


def test_runs_that_answered_other_prompts_are_named_with_their_counts(found):
    fewer = dict(list(found.responses['full'].items())[:40])
    (line,) = said(answered(found, 'full', fewer), 'different prompts')
    assert '(lora 60, full 40, lora_best 60, full_best 60; the same in all: 40)' in line


def test_the_same_ids_of_another_file_are_other_prompts(found):
    others = {example: row | {'prompt_token_ids': [2]} for example, row in found.responses['full'].items()}
    (line,) = said(answered(found, 'full', others), 'different prompts')
    assert 'full 60' in line
    assert 'the same in all: 0)' in line


def test_responses_newer_than_the_comparison_are_told(found):
    fewer = dict(list(found.responses['lora'].items())[:40])
    assert said(answered(found, 'lora', fewer), 'Run lora: responses.jsonl has other examples')
    empty = {'q999': found.responses['lora']['q000'] | {'token_ids': []}}  # compared it has no position
    assert not said(answered(found, 'lora', found.responses['lora'] | empty), 'other examples')


def test_cut_responses_are_counted(found):
    cut = {example: row | {'finish_reason': 'length'} for example, row in found.responses['full'].items()}
    assert said(answered(found, 'full', cut), 'Run full: 60 of 60 responses cut at the greatest length.')
    assert not said(found, 'greatest length')


def test_near_ties_are_told_of_the_plain_windows_wherever_they_stand(found):
    (item,) = found.summaries['full']

    def of(context_length, percent):
        own = {'emitted_is_tuned_argmax': {'mean': percent}}
        return item | {'context_length': context_length, 'all': item['all'] | own}

    def told(objects):
        lines = said(dataclasses.replace(found, summaries=found.summaries | {'full': objects}), 'near-ties')
        return [line.partition(' of positions')[0] for line in lines if 'Run full' in line]

    assert told([of(8, 40.0), of(-1, 100.0)]) == []
    assert told([of(8, 100.0), of(-1, 60.0)]) == ['Run full: at 40 %']


def test_the_base_s_cut_responses_are_counted(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    (tmp_path / 'base').mkdir()
    rows = [{'example_id': name, 'finish_reason': reason} for name, reason in (('a', 'length'), ('b', 'stop'))]
    (tmp_path / 'base/responses.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    found = results.load(Workdir(tmp_path))
    assert said(found, 'Base: 1 of 2 responses cut at the greatest length, so the base would write more')


def test_responses_that_judges_gave_no_score_are_counted_by_their_reason(found):
    counts = {'scored': 5, 'repaired': 0, 'unparsed': 2, 'refused': 0, 'failed': 1, 'missing': 0}
    aspects = {'helpfulness': {'counts': counts}, 'safety': {'counts': counts | {'unparsed': 0, 'refused': 3}}}
    judged = {'lora': {'kind': Verdict({'aspects': aspects}, [])}}
    lines = said(dataclasses.replace(found, judged=judged), 'judge kind')
    assert lines == ['Run lora, judge kind: responses without a score: 2 unparsed, 3 refused, 1 failed.']


def test_other_templates_than_the_tuned_model_s_are_told(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob('runs/*/summary.json'):
        path.write_text(path.read_text().replace('"template": "matched"', '"template": "native"'))
    for path in tmp_path.glob('runs/*/tokens/*.parquet'):
        table = pq.read_table(path)
        place = table.schema.get_field_index('template')
        native = pa.array(['native'] * table.num_rows).cast(table.schema.field(place).type)
        pq.write_table(table.set_column(place, table.schema.field(place), native), path)
    assert said(results.load(Workdir(tmp_path)), 'the difference of the forms too')
