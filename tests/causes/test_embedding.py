"""Rows as a sentence-transformers model sees them."""

import sys
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from commandline import TINY, start

from jaxshift import config
from jaxshift.errors import InputError
from jaxshift.explain import embedding

ROWS = [np.array(row) for row in ([1, 3, 4, 5, 6, 2], [3, 4], [8, 7, 3, 4, 5, 6, 7, 8])]


@pytest.fixture
def encoder(tokenizer, tmp_path):
    """(folder, torch model) of a small random BERT, as sentence-transformers saves one."""
    sentence_transformers = pytest.importorskip(
        'sentence_transformers', reason="needs sentence-transformers: pip install 'jaxshift[sentences]'"
    )
    torch.manual_seed(0)
    sizes = {'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 2, 'num_attention_heads': 2}
    model = transformers.BertModel(transformers.BertConfig(vocab_size=len(tokenizer), **sizes)).eval()
    words = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, unk_token='<unk>', pad_token='<unk>', model_max_length=6
    )
    for part in (model, words):
        part.save_pretrained(tmp_path / 'bert')
    sentence_transformers.SentenceTransformer(str(tmp_path / 'bert'), device='cpu').save(str(tmp_path / 'encoder'))
    return tmp_path / 'encoder', model


def study(tokenizer, name):
    causes = config.Causes(borrowing_encoder=str(name))
    return SimpleNamespace(experiment=config.Experiment(causes=causes), tokenizer=tokenizer)


def test_vectors_are_means_of_its_hidden_states_over_the_words_of_each_text(encoder, tokenizer):
    folder, model = encoder
    found = embedding.embed(study(tokenizer, folder), ROWS)
    for vector, row in zip(found, ROWS, strict=True):
        said = [token for token in row.tolist() if token > 2][:6]  # special tokens say nothing; its context is 6 tokens
        with torch.no_grad():
            expected = model(torch.tensor([said])).last_hidden_state[0].mean(axis=0)
        np.testing.assert_allclose(vector, expected.numpy(), atol=1e-5)


def test_another_encoder_in_the_same_folder_is_noticed(encoder):
    folder, _ = encoder
    before = embedding.fingerprint(str(folder))
    assert before == embedding.fingerprint(str(folder))
    (weights,) = folder.rglob('*.safetensors')
    weights.write_bytes(weights.read_bytes()[:-4] + b'else')
    assert embedding.fingerprint(str(folder)) != before


def test_a_folder_that_holds_no_model_is_refused_in_one_line(encoder, tokenizer, tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match='config.causes.borrowing_encoder: .*/empty cannot be loaded') as refused:
        embedding.embed(study(tokenizer, tmp_path / 'empty'), ROWS)
    assert '\n' not in str(refused.value)


def test_where_the_package_is_absent_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'sentence_transformers', None)
    with pytest.raises(InputError, match=r"pip install 'jaxshift\[sentences\]'"):
        embedding.fingerprint('some-model')
    assert embedding.fingerprint('') == {}


def asked(folder, *more):
    return start(
        *TINY, '--only=full', f'--workdir={folder}', '--mode=causes', '--config.causes.analyses=borrowing', *more
    )


def test_rows_are_ranked_by_the_encoder_that_is_asked_for(encoder, planted):
    path = planted / 'runs/full/causes/borrowing.rows.parquet'
    cosines = []
    for name in ('', encoder[0]):
        ended = asked(planted, f'--config.causes.borrowing_encoder={name}')
        assert ended.code == 0, ended.err
        assert ('full.borrowing: causes.borrowing_encoder' in ended.out) == bool(name)
        cosines.append(pq.read_table(path)['cosine'].to_pylist())
    assert len(cosines[0]) == len(cosines[1]) > 0
    assert cosines[0] != pytest.approx(cosines[1])


def test_without_the_package_nothing_is_thrown_away(copy, monkeypatch):
    before = sorted((copy / 'runs/full/causes').iterdir())
    monkeypatch.setitem(sys.modules, 'sentence_transformers', None)
    ended = asked(copy, '--config.causes.borrowing_encoder=some-model')
    assert ended.code == 2
    assert "pip install 'jaxshift[sentences]'" in ended.error()
    assert sorted((copy / 'runs/full/causes').iterdir()) == before
