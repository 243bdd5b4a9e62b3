"""Tokenised examples go to ArrayRecord files and come back, without TensorFlow and without a network."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
import transformers

from jaxshift.data import dataset, mixture, rows, template
from jaxshift.data.formats import Example, Message, Refusal
from jaxshift.errors import InputError
from jaxshift.store import jsonl

QUESTION = Message('user', 'what is the capital of France?')


def examples(*answers):
    return [
        Example(f'é{i}', (QUESTION, Message('assistant', answer)), f'f.jsonl:{i + 1}')
        for i, answer in enumerate(answers)
    ]


def test_rows_come_back_as_the_template_wrote_them(tmp_path, chatml):
    chosen = template.choose(chatml)
    given = examples('Paris.', 'Paris, of course, what else?', '')
    dataset.build(tmp_path / 'data', given, chosen, 512, refused=[Refusal('f.jsonl:9', 'instruction: is empty')])
    found = dataset.open_dataset(tmp_path / 'data')
    expected = [chosen.example(example.messages) for example in given]
    assert len(found) == 3
    for i, (ids, trained) in enumerate(expected):
        row = found[i]
        assert row.tokens.tolist() == ids
        assert row.trained.tolist() == trained
        assert (row.tokens.dtype, row.trained.dtype, row.example_id) == (np.int32, np.bool_, f'é{i}')
    assert found.lengths.tolist() == [len(ids) for ids, _ in expected]
    assert found.counts == {
        'examples': 3,
        'held_out': 0,
        'tokens': sum(len(ids) for ids, _ in expected),
        'trained_tokens': sum(sum(trained) for _, trained in expected),
        'cut': 0,
        'split': 0,
        'refused': {'instruction: is empty': 1},
        'sources': {},
        'max_length': 512,
        'template': chosen.text_hash,
    }


def test_many_rows_keep_their_order(tmp_path, bare):
    dataset.build(tmp_path, examples(*map(str, range(500))), template.choose(bare), 512)
    found = dataset.open_dataset(tmp_path)
    assert [found[i].example_id for i in range(500)] == [f'é{i}' for i in range(500)]


def test_long_examples_are_cut_and_counted_or_refused(tmp_path, chatml):
    chosen = template.choose(chatml)
    given = examples('Paris.', 'Paris. ' * 50)
    lost = Example('lost', (Message('user', 'why? ' * 60), Message('assistant', 'so')), 'f.jsonl:3')
    limit = len(chosen.example(given[0].messages)[0])
    found = dataset.build(tmp_path, [*given, lost], chosen, limit)
    assert found.lengths.tolist() == [limit, limit]
    assert found.counts['cut'] == 1
    assert found.counts['refused'] == {f'no token of the answer within max_length {limit}': 1}
    assert found[1].tokens.tolist() == chosen.example(given[1].messages)[0][:limit]


def test_an_example_without_an_answer_is_named_or_counted(tmp_path, chatml):
    chosen = template.choose(chatml)
    given = [*examples('Paris.'), Example('q', (QUESTION,), 'f.jsonl:2')]
    with pytest.raises(InputError, match=r'^f\.jsonl:2: the record has no answer to train on'):
        dataset.build(tmp_path, given, chosen, 512)
    with pytest.raises(InputError, match='no finished data here'):
        dataset.open_dataset(tmp_path)
    found = dataset.build(tmp_path, given, chosen, 512, on_bad='skip')
    assert found.counts['refused'] == {'the record has no answer to train on': 1}
    with pytest.raises(InputError, match='no example is left to train on; refused: .*has no answer'):
        dataset.build(tmp_path, given[1:], chosen, 512, on_bad='skip')


@pytest.mark.parametrize('count', [1, rows.FIRST_EXAMPLES + 1])
def test_a_template_that_never_trains_the_end_is_refused(tmp_path, make_tokenizer, tagged, count):
    outside = tagged.chat_template.replace(
        "+ '<|im_end|>' }}{% endgeneration %}", "}}{% endgeneration %}{{ '<|im_end|>' }}"
    )
    chosen = template.choose(make_tokenizer(outside))
    with pytest.raises(InputError, match=r'trains a token that ends an answer \(</s>\).*data.template=paper'):
        dataset.build(tmp_path, examples(*['Paris.'] * count), chosen, 512)


def test_answers_that_are_all_cut_before_their_end_are_refused(tmp_path, bare):
    long = [Example(str(i), (Message('user', 'q'), Message('assistant', 'o' * 60)), f'f:{i}') for i in range(3)]
    with pytest.raises(
        InputError, match='none of the first 3 examples trains a token that ends an answer .* raise data'
    ):
        dataset.build(tmp_path, long, template.choose(bare), 30)
    assert dataset.build(tmp_path, long, template.choose(bare), 100).counts['cut'] == 0


def test_plain_texts_train_every_token_but_the_first(tmp_path, bare):
    dataset.build_texts(tmp_path, ['Paris is the capital.', 'a </s> b', 'x ' * 100], bare, 64)
    whole = [bare.bos_token_id, *bare('x ' * 100)['input_ids'], bare.eos_token_id]
    found = dataset.open_dataset(tmp_path)
    first = found[0]
    assert bare.decode(first.tokens) == '<s>Paris is the capital.</s>'
    assert first.trained.tolist() == [False] + [True] * (len(first.tokens) - 1)
    assert found[1].tokens.tolist().count(bare.eos_token_id) == 1
    pieces = [found[index] for index in range(2, len(found))]
    assert [piece.example_id for piece in pieces] == [f'2/{number}' for number in range(1, len(pieces) + 1)]
    assert len(pieces) > 1
    assert all(len(piece.tokens) == 64 for piece in pieces[:-1])
    # Nothing is lost: a piece begins with the last token of the one before, so every token but bos is a target once.
    assert [token for piece in pieces for token in piece.tokens[piece.trained]] == whole[1:]
    assert all(piece.tokens[-1] == following.tokens[0] for piece, following in itertools.pairwise(pieces))
    assert (found.counts['cut'], found.counts['split']) == (0, 1)


def test_a_half_written_folder_is_not_taken_as_finished(tmp_path, bare):
    chosen = template.choose(bare)
    dataset.build(tmp_path, examples('Paris.'), chosen, 512)
    (tmp_path / 'notes.txt').write_text('kept')

    class Killed(BaseException):
        pass

    def killed():
        yield from examples('a', 'b')
        raise Killed

    with pytest.raises(Killed):
        dataset.build(tmp_path, killed(), chosen, 512)
    with pytest.raises(InputError, match='no finished data here; run the data stage again'):
        dataset.open_dataset(tmp_path)
    found = dataset.build(tmp_path, examples('a', 'b', 'c'), chosen, 512)
    assert len(found) == 3
    assert (tmp_path / 'notes.txt').read_text() == 'kept'
    assert not (tmp_path / 'incomplete').exists()


def test_damaged_files_are_noticed(tmp_path, bare):
    dataset.build(tmp_path, examples('Paris.', 'a'), template.choose(bare), 512)
    lengths = np.load(tmp_path / 'lengths.npy')
    np.save(tmp_path / 'lengths.npy', lengths[:1])
    with pytest.raises(InputError, match='the data is damaged .counts differ'):
        dataset.open_dataset(tmp_path)
    np.save(tmp_path / 'lengths.npy', lengths)
    (records,) = tmp_path.glob('token_rows*')
    whole = records.read_bytes()
    records.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match='damaged'):
        dataset.open_dataset(tmp_path)
    records.write_bytes(whole)
    assert len(dataset.open_dataset(tmp_path)) == 2
    np.save(tmp_path / 'lengths.npy', lengths + np.array([1, 0], np.int32))
    with pytest.raises(InputError, match='row 0 is damaged; remove the folder and run the data stage again'):
        dataset.open_dataset(tmp_path)[0]
    (tmp_path / 'dataset_info.json').unlink()
    with pytest.raises(InputError, match='the data is damaged'):
        dataset.open_dataset(tmp_path)


QUIET = """
import socket, sys
def refuse(*args, **kwargs):
    raise AssertionError('the network is used')
socket.socket.connect = socket.getaddrinfo = refuse
from absl import app
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from jaxshift.data import batches, dataset
def main(_):
    backend = Tokenizer(models.WordLevel({'a': 0, '</s>': 1}, unk_token='a'))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token='</s>')
    found = dataset.build_texts(sys.argv[1], ['a', 'a'], tokenizer, 8)
    plan = batches.Schedule(found.lengths, seed=0, epochs=2, batch_size=2, max_length=8, pack=False)
    assert [step for step, _ in batches.loader(found, plan)] == [0, 1]
    assert 'tensorflow' not in sys.modules and 'torch' not in sys.modules
app.run(main)
"""


def test_no_tensorflow_no_network_no_noise(tmp_path):
    done = subprocess.run([sys.executable, '-c', QUIET, tmp_path / 'data'], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_a_file_of_records_goes_all_the_way(tmp_path, bare):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps([{'instruction': 'q', 'input': 'i', 'output': 'o'}, {'instruction': ''}]))
    records = mixture.read({f'file:{path}': 1}, on_bad='skip')
    found = dataset.build(
        tmp_path / 'data', records.examples, template.choose(bare), 64, 'skip', records.refused, records.sources
    )
    assert bare.decode(found[0].tokens) == '<s>Human: q\ni\nAssistant: o</s>'
    assert found.counts['refused'] == {'instruction: is empty': 1}
    figures = {'format': 'alpaca', 'weight': 1, 'records': 2, 'refused': 1, 'examples': 1, 'unread': ''}
    assert found.counts['sources'] == {f'file:{path}': figures}
    where = f'{path}: record 1 (the first is 0)'
    assert jsonl.read(tmp_path / 'data/refused.jsonl') == [{'where': where, 'reason': 'instruction: is empty'}]


def test_a_text_without_tokens_is_named_or_counted(tmp_path, tokenizer):
    words = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, unk_token='<unk>', eos_token='</s>'
    )
    given = [Example(str(index), (), f'f.txt:{index}', text=text) for index, text in enumerate((' ', 'Paris'))]
    with pytest.raises(InputError, match=r'f\.txt:0: text: has no token'):
        dataset.build(tmp_path, given, template.choose(words), 8)
    found = dataset.build(tmp_path, given, template.choose(words), 8, 'skip')
    assert found.counts['refused'] == {'text: has no token': 1}
    assert words.decode(found[0].tokens) == 'Paris </s>'
