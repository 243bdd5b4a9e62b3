"""Records are read from files, folders, globs, datasets and TFDS, each with its place."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow_datasets as tfds
from commandline import ROOT

from jaxshift.data import mixture, sources
from jaxshift.errors import InputError


def values(source):
    return [record.value for record in sources.read(source)]


def places(source):
    return [record.where for record in sources.read(source)]


def test_csv_keeps_lines_quotes_and_the_line_a_record_begins_on(tmp_path):
    path = tmp_path / 'a.csv'
    path.write_bytes(
        '\ufeffquestion,answer,id\r\n"two\nlines, ""quoted""",é,x\r\n\r\nq,,\r\na,b,c,d\r\nlast,\r\n'.encode()
    )
    found = list(sources.read(f'file:{path}'))
    assert [record.where for record in found] == [f'{path}:{line}' for line in (2, 5, 6, 7)]
    assert found[0].value == {'question': 'two\nlines, "quoted"', 'answer': 'é', 'id': 'x'}
    assert found[1].value == {'question': 'q', 'answer': '', 'id': ''}
    assert found[3].value == {'question': 'last', 'answer': ''}
    with pytest.raises(InputError, match=rf'{path}:6: record: has more cells than the header; 4, not 3'):
        mixture.read({f'file:{path}': 1})


@pytest.mark.parametrize(
    ('name', 'content', 'problem'),
    [
        ('a.csv', b'a,a\n1,2\n', 'names a column twice'),
        ('a.csv', b'question\n"x" y\n', r'a\.csv:2: not CSV'),
        ('a.csv', b'question\n"x', 'not CSV'),
        ('a.csv', b'question,answer\n', 'holds no record'),
        ('a.parquet', b'no', 'not a Parquet file'),
        ('a.txt', b'\xff', 'byte 0 is not UTF-8'),
        ('a.txt', b'', 'text: is empty'),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, name, content, problem):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        mixture.read({f'file:{path}': 1})
    assert name in str(caught.value)
    assert '\n' not in str(caught.value)


def test_a_long_csv_cell_is_read_whole(tmp_path):
    path = tmp_path / 'a.csv'
    path.write_text('text\n' + 'x' * 300_000 + '\n')
    assert len(values(f'file:{path}')[0]['text']) == 300_000


def test_parquet_rows_are_named_by_number(tmp_path):
    path = tmp_path / 'a.parquet'
    rows = [{'messages': [{'role': 'user', 'content': 'q'}], 'n': 1}, {'messages': None, 'n': 2}]
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert values(f'file:{path}') == rows
    assert places(f'file:{path}')[1] == f'{path}: record 1 (the first is 0)'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'b.jsonl').write_text('{"text": "1"}\n{"text": "2"}\n')
    (tmp_path / 'a.json').write_text('[{"text": "0"}]')
    (tmp_path / 'c.txt').write_bytes(b'3\r\n\n')
    (tmp_path / 'README.md').write_text('not data')
    (tmp_path / 'deep').mkdir()
    (tmp_path / 'deep/b.jsonl').write_text('{"text": "4"}\n')
    return tmp_path


def test_folders_and_globs_are_read_in_the_order_of_their_paths(folder):
    assert [value['text'] for value in values(f'file:{folder}')] == ['0', '1', '2', '3\r\n\n']
    assert [value['text'] for value in values(f'file:{folder}/**/*.jsonl')] == ['1', '2', '4']
    ids = [example.id for example in mixture.read({f'file:{folder}/**/*.jsonl': 1}).examples]
    assert ids == [f'{folder.name}/b.jsonl:0', f'{folder.name}/b.jsonl:1', 'deep/b.jsonl:0']


def test_what_is_not_there_names_the_key(tmp_path):
    for source, problem in [
        ('data.json', "config.data.source is 'data.json'; give file:PATH"),
        ('file:', "config.data.source is 'file:'"),
        (f'file:{tmp_path}/no.json', 'config.data.source: .*no.json does not exist'),
        (f'file:{tmp_path}/*.json', r'config.data.source: .*\*.json no such file'),
        (f'file:{tmp_path}', 'the folder has no file .json'),
    ]:
        with pytest.raises(InputError, match=problem):
            sources.check(source, 'config.data.source')


def test_the_fingerprint_is_of_the_content(folder, tmp_path):
    source = f'file:{folder}/**/*.jsonl'
    before = sources.fingerprint(source)
    assert sources.fingerprint(source) == before
    (folder / 'deep/b.jsonl').write_text('{"text": "5"}\n')
    assert sources.fingerprint(source) != before


def test_datasets_is_asked_for_name_config_and_split(monkeypatch):
    asked = []

    def load_dataset(name, config, split):
        asked.append((name, config, split))
        if name == 'gone':
            raise FileNotFoundError('no such dataset\nand much more')
        return [{'question': 'q', 'answer': 'a'}, {'question': ''}]

    monkeypatch.setitem(sys.modules, 'datasets', types.SimpleNamespace(load_dataset=load_dataset))
    source = 'datasets:owner/name:main:train[:10%]'
    found = mixture.read({source: 1}, on_bad='skip')
    assert found.examples[0].messages == (('user', 'q'), ('assistant', 'a'))
    assert found.refused == [(f'{source}: record 1 (the first is 0)', 'question: is empty')]
    values('datasets:owner/name')
    values('datasets:owner/name:test')
    assert asked[0] == ('owner/name', 'main', 'train[:10%]')
    assert asked[-2:] == [('owner/name', None, 'train'), ('owner/name', None, 'test')]
    with pytest.raises(InputError, match=r'datasets:gone: not loaded \(no such dataset\); '):
        values('datasets:gone')
    with pytest.raises(InputError, match='too many parts'):
        values('datasets:a:b:c:d')


def test_a_folder_is_loaded_by_the_datasets_package(tmp_path):
    (tmp_path / 'train.jsonl').write_text('{"question": "q", "answer": "a"}\n')
    assert values(f'datasets:{tmp_path}:train') == [{'question': 'q', 'answer': 'a'}]


def test_a_data_set_has_configs_and_splits_by_its_card(tmp_path):
    files = {'easy': ['train', 'test'], 'hard': ['test']}
    card = ['---', 'configs:']
    for config, splits in files.items():
        card += [f'- config_name: {config}', '  data_files:']
        for split in splits:
            rows = [{'messages': [{'role': 'user', 'content': f'{config} {split} {i}'}]} for i in range(3)]
            pq.write_table(pa.Table.from_pylist(rows), tmp_path / f'{config}-{split}.parquet')
            card += [f'  - split: {split}', f'    path: {config}-{split}.parquet']
    (tmp_path / 'README.md').write_text('\n'.join([*card, '---', '']))
    found = values(f'datasets:{tmp_path}:easy:test[1:]')
    assert [value['messages'][0]['content'] for value in found] == ['easy test 1', 'easy test 2']
    assert len(values(f'datasets:{tmp_path}:hard:test')) == 3
    with pytest.raises(InputError, match=r'not loaded \(.*; correct the name or the split') as caught:
        values(f'datasets:{tmp_path}:hard:train')
    assert '\n' not in str(caught.value)


def test_without_the_datasets_package_the_way_to_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, 'datasets', None)
    with pytest.raises(InputError, match=r"datasets:x needs the package datasets; pip install 'jaxshift\[datasets\]'"):
        values('datasets:x')


class Talks(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Two conversations and their token ids."""

    VERSION = tfds.core.Version('1.0.0')
    url_infos = None

    def _info(self):
        turn = {'role': tfds.features.Text(), 'content': tfds.features.Text()}
        features = {
            'messages': tfds.features.Sequence(turn),
            'id': tfds.features.Scalar(np.int64),
            'ids': tfds.features.Tensor(shape=(None,), dtype=np.int32),
        }
        made = tfds.features.FeaturesDict(features)
        return tfds.core.DatasetInfo(builder=self, features=made, disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {'train': self._generate_examples(2), 'test': self._generate_examples(1)}

    def _generate_examples(self, count):
        for index in range(count):
            turns = [{'role': 'user', 'content': f'é{index}'}, {'role': 'assistant', 'content': 'a'}]
            yield index, {'messages': turns, 'id': 7 + index, 'ids': np.arange(index + 1, dtype=np.int32)}


@pytest.fixture(scope='module')
def talks(tmp_path_factory):
    builder = Talks(data_dir=tmp_path_factory.mktemp('tfds'), file_format='array_record')
    with sources.tfds_quietly():
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return builder.data_dir


def test_tfds_is_read_without_tensorflow(talks, capsys):
    found = mixture.read({f'tfds:{talks}': 1})
    assert [example.id for example in found.examples] == ['7', '8']
    assert found.examples[1].messages == (('user', 'é1'), ('assistant', 'a'))
    assert values(f'tfds:{talks}:train[1:]')[0]['ids'] == [0, 1]
    assert len(values(f'tfds:{talks}:test')) == 1
    assert 'tensorflow' not in sys.modules
    assert capsys.readouterr() == ('', '')


def test_a_name_of_the_catalogue_is_read_where_it_was_prepared(talks):
    """TFDS looks into TFDS_DATA_DIR once, when it is imported."""
    script = (
        'from jaxshift.data import sources; '
        "print([len(list(sources.read(f'tfds:{name}'))) for name in ('talks', 'talks:1.0.0:test', 'talks:train[1:]')])"
    )
    place = os.environ | {'TFDS_DATA_DIR': str(Path(talks).parents[1])}
    done = subprocess.run([sys.executable, '-c', script], env=place, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == '[2, 1, 1]\n', done.stderr


def test_a_tfds_name_that_is_not_prepared_is_one_line(talks):
    for source in ('tfds:no_such_dataset_here', f'tfds:{talks}:nosplit'):
        with pytest.raises(InputError, match='cannot be read .*prepare it with file_format=array_record') as caught:
            values(source)
        assert '\n' not in str(caught.value)


def test_names_of_tfds_may_have_a_version(monkeypatch):
    asked = []

    def builder(name):
        asked.append(name)
        return types.SimpleNamespace(as_data_source=lambda split: [{'split': split.encode()}])

    monkeypatch.setattr(tfds, 'builder', builder)
    assert values('tfds:talks/small:1.0.0:test[:5]') == [{'split': 'test[:5]'}]
    assert values('tfds:talks:2.0.1') == [{'split': 'train'}]
    assert asked == ['talks/small:1.0.0', 'talks:2.0.1']


def test_json_that_is_no_object_is_a_record_at_fault(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps([{'text': 'a'}, None]))
    with pytest.raises(InputError, match='record 1 .the first is 0.: record: is null, not a JSON object'):
        mixture.read({f'file:{path}': 1})
