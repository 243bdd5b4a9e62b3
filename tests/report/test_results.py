import hashlib
import shutil

import numpy as np
import pyarrow as pa
import pytest
from made_up import END, PIECES, fake_rows

from jaxshift.errors import InputError
from jaxshift.report import caveats, results
from jaxshift.shift import records, summary
from jaxshift.store import paths
from jaxshift.store.paths import Workdir


def test_of_several_checkpoints_the_last_is_shown(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / 'runs/full'
    shutil.rmtree(folder / 'tokens')
    steps = {200: fake_rows('full', 0.4, 5, 0), 100: fake_rows('full', 0.2, 5, 1)}
    for index, (step, parts) in enumerate(steps.items()):
        rows = pa.concat_tables(parts)
        records.write_part(folder / 'tokens', index, rows.append_column(records.STEP, pa.array([step] * len(rows))))
    objects = summary.summarise(records.read(folder / 'tokens'), PIECES, [END], 0, 50)
    assert [item['step'] for item in objects] == [200, 100]
    summary.write(folder / 'summary.json', objects)
    found = results.load(Workdir(tmp_path)).tokens['full']
    assert found['step'].unique().to_pylist() == [200]
    kl = np.concatenate([part['kl_tuned_base'].to_numpy() for part in steps[200]])
    np.testing.assert_array_equal(found['kl_tuned_base'].to_numpy(), kl)


def test_causes_of_what_was_replaced_are_left_out_and_named(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    answers = hashlib.sha256((tmp_path / 'runs/full/responses.jsonl').read_bytes()).hexdigest()
    records_ = {'runs/full/tokens/0.parquet': {'sha256': 'b', 'bytes': 1}}
    settings = {
        'truth': {'responses': 'before', 'tokens': records_},
        'imitation': {'responses': answers, 'base_responses': 'not there any more'},
        'knowledge': {'responses': 'before', 'tokens': records_},
        'uncertainty': {'tokens': {'runs/full/tokens/0.parquet': {'sha256': 'a', 'bytes': 1}}},
        'style_tokens': {'tokens': records_},
        'weights': {'model': 'newer'},
        'swaps': {'model': 'older'},
    }
    (tmp_path / 'done').mkdir(exist_ok=True)
    for name, asked in settings.items():
        paths.write_json(tmp_path / f'runs/full/causes/{name}.json', {'of': name})
        paths.write_json(tmp_path / f'done/causes-full.{name}.json', {'settings': asked, 'files': {}})
    paths.write_json(tmp_path / 'runs/full/causes/dynamics.json', {'of': 'nobody knows'})
    paths.write_json(tmp_path / 'done/sweep-full.json', {'settings': {'model': 'newer'}, 'files': records_})
    found = results.load(Workdir(tmp_path))
    assert found.explained['full'].keys() == {'imitation', 'style_tokens', 'weights', 'dynamics'}
    assert 'full' not in found.truths
    assert found.outdated['full'] == [f'causes/{name}.json' for name in ('knowledge', 'swaps', 'truth', 'uncertainty')]
    assert found.outdated['lora'] == []
    (line,) = [line for line in caveats.sentences(found) if 'causes/swaps.json' in line]
    assert line.startswith('runs/full/causes/swaps.json is of responses, records or weights that run full has since')


def test_damaged_causes_are_named_with_what_makes_them_again(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / 'runs/full/causes'
    folder.mkdir(exist_ok=True)
    (folder / 'style_tokens.tokens.parquet').write_bytes(b'PAR1')
    again = r'cannot be read \(.+\); remove it, or ask again with --mode=causes --config\.causes\.analyses=style_tok'
    with pytest.raises(InputError, match=rf'style_tokens\.tokens\.parquet: {again}'):
        results.load(Workdir(tmp_path)).kept('full', 'style_tokens.tokens')
    (folder / 'style_tokens.json').write_text('{"windows": {"context')
    with pytest.raises(InputError, match=rf'style_tokens\.json: {again}'):
        results.load(Workdir(tmp_path))


def test_damage_is_named(workdir, tmp_path):
    with pytest.raises(InputError, match=r'experiment\.json'):
        results.load(Workdir(tmp_path))
    shutil.copy(workdir / 'experiment.json', tmp_path)
    with pytest.raises(InputError, match='run the sweep'):
        results.load(Workdir(tmp_path))
    shutil.copytree(workdir / 'runs', tmp_path / 'runs')
    with (tmp_path / 'runs/full/metrics.jsonl').open('a') as file:
        file.write('{"step": \n')
    with pytest.raises(InputError, match=r'metrics\.jsonl:21'):
        results.load(Workdir(tmp_path))
