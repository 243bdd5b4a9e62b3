"""Models tuned elsewhere with tokens that the base lacks: full checkpoints and adapters of PEFT."""

import json
from typing import Any

import jax
import numpy as np
import peft
import pytest
import torch
import transformers
from commandline import COMPARE, start

from jaxshift.config import Base, Experiment, Run
from jaxshift.devices.process import StopSignal
from jaxshift.errors import InputError
from jaxshift.evaluate import lm
from jaxshift.llama import model
from jaxshift.store.paths import Workdir
from jaxshift.study import Study
from jaxshift.tune import lora
from jaxshift.weights.given import lengthened, open_given
from jaxshift.weights.source import open_source

TOKENS = np.random.default_rng(0).integers(0, 12, (2, 24))


@pytest.fixture(scope='module')
def base(torch_llama, tokenizer, tmp_path_factory):
    """Makes the folder of a base whose nine rows are its tokenizer's nine words."""

    def make(**changes):
        folder = tmp_path_factory.mktemp('base')
        torch_llama(**{'vocab_size': 9} | changes).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


def longer(base, folder, words=('<|user|>', '<|end|>'), rows=12):
    """The base in torch with more tokens, whose rows are the mean of its own, and one row of padding."""
    twin: Any = transformers.AutoModelForCausalLM.from_pretrained(base)
    words_of = transformers.AutoTokenizer.from_pretrained(base)
    words_of.add_special_tokens({'additional_special_tokens': list(words)})
    words_of.save_pretrained(folder)
    tables = [twin.get_input_embeddings().weight, twin.get_output_embeddings().weight]
    means = [table.detach().double().mean(0).float() for table in tables]
    twin.resize_token_embeddings(rows, mean_resizing=False)
    with torch.no_grad():
        for table, mean in zip((twin.get_input_embeddings(), twin.get_output_embeddings()), means, strict=True):
            table.weight[9:] = mean
    return twin


def moved(parameters) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.05 * torch.randn_like(parameter))


def logits_of(config, params):
    return model.forward(config, params, jax.numpy.asarray(TOKENS)) @ model.head(params)


def torch_logits(twin):
    with torch.no_grad():
        return twin.eval()(torch.tensor(TOKENS)).logits.numpy()


SAVED = [('embed_tokens', 'lm_head'), ('embed_tokens',)]


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('saved', SAVED, ids=['both tables', 'embedding'])
@pytest.mark.parametrize('tied', [False, True], ids=['untied', 'tied'])
def test_an_adapter_with_added_tokens_has_pefts_logits_on_the_padded_base(base, tmp_path, tied, saved):
    folder = base(tie_word_embeddings=tied)
    twin = longer(folder, tmp_path)
    chosen = peft.LoraConfig(r=2, target_modules=['q_proj'], modules_to_save=list(saved), task_type='CAUSAL_LM')
    adapted = peft.get_peft_model(twin, chosen)
    moved(value for name, value in adapted.named_parameters() if 'lora_' in name or 'modules_to_save' in name)
    adapted.save_pretrained(tmp_path)
    plain = open_source(f'dir:{folder}')
    found = open_given(f'dir:{tmp_path}', plain, '', 'runs.t.source')
    padded = lengthened(plain, {'t': found})
    assert padded.config.vocab_size == found.config.vocab_size == 12
    assert padded.tokenizer.convert_tokens_to_ids('<|end|>') == 10
    params = padded.load('float32')
    tuned = lora.replace(lora.merge(params, found.terms(), found.spec), found.whole('float32'))
    np.testing.assert_allclose(logits_of(padded.config, tuned), torch_logits(adapted), atol=1e-4, rtol=0)
    served = lm.opened(f'dir:{folder}', f'dir:{tmp_path}')
    np.testing.assert_array_equal(logits_of(served.scorer.config, served.params), logits_of(padded.config, tuned))
    assert served.tokenizer.convert_tokens_to_ids('<|end|>') == 10


def test_an_adapter_with_added_tokens_and_no_tokenizer_is_refused(base, tmp_path):
    folder = base()
    adapted = peft.get_peft_model(
        longer(folder, tmp_path / 'words'),
        peft.LoraConfig(target_modules=['q_proj'], modules_to_save=['embed_tokens', 'lm_head'], task_type='CAUSAL_LM'),
    )
    adapted.save_pretrained(tmp_path / 'adapter')
    asked = compared(folder, tmp_path / 'adapter', tmp_path)
    assert f'{tmp_path}/adapter: the adapter has 3 rows for tokens that its base lacks' in start(*asked).error()


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    ('words', 'read'),
    [(('<|user|>', '<|end|>'), True), (('a', 'b', 'c', '<pad>'), False), (None, False)],
    ids=['tokens in spare rows', 'a token for padding without a row', 'no tokenizer'],
)
def test_an_adapter_whose_tokens_fit_spare_rows_is_read_with_its_own_tokenizer(base, tmp_path, words, read):
    folder = base(vocab_size=12)
    twin: Any = transformers.AutoModelForCausalLM.from_pretrained(folder)
    peft.get_peft_model(twin, peft.LoraConfig(target_modules=['q_proj'], task_type='CAUSAL_LM')).save_pretrained(
        tmp_path
    )
    own = transformers.AutoTokenizer.from_pretrained(folder)
    if words:
        own.add_special_tokens({'additional_special_tokens': list(words)})
        own.save_pretrained(tmp_path)
    plain = open_source(f'dir:{folder}')
    found = lengthened(plain, {'t': open_given(f'dir:{tmp_path}', plain, '', 'runs.t.source')})
    expected = own if read else plain.tokenizer
    assert found.tokenizer('the<|end|>Paris')['input_ids'] == expected('the<|end|>Paris')['input_ids']
    assert len(found.tokenizer) == (11 if read else 9)
    assert (found.config, found.weights) == (plain.config, plain.weights)


def compared(base, tuned, folder):
    prompts = [{'instruction': f'the capital of {word} is'} for word in ('France', 'Paris', 'the')]
    (folder / 'prompts.json').write_text(json.dumps(prompts))
    return (
        COMPARE, f'--config.base.source=dir:{base}', f'--config.runs.tuned.source=dir:{tuned}',
        f'--config.prompts.source=file:{folder}/prompts.json', '--config.respond.max_new_tokens=8',
        '--config.data.template=paper', f'--workdir={folder}/work',
    )  # fmt: skip


@pytest.fixture(scope='module')
def tuned(base, tmp_path_factory):
    """(folder of the base, folder of a full checkpoint that likes to say the tokens that it was given)."""
    folder, mine = base(), tmp_path_factory.mktemp('tuned')
    twin = longer(folder, mine)
    moved(twin.parameters())
    with torch.no_grad():
        twin.lm_head.weight[9:11] += 0.5 * torch.randn(2, 64)
    twin.save_pretrained(mine)
    return folder, mine


def test_a_checkpoint_with_added_tokens_is_compared_and_the_user_is_told(tuned, tmp_path):
    ended = start(*compared(*tuned, tmp_path))
    assert ended.code == 0, ended.err
    assert 'train tuned: its vocabulary has 3 rows more than the base, which is padded with the mean' in ended.out
    (found,) = json.loads((tmp_path / 'work/runs/tuned/summary.json').read_text())
    assert found['counts']['tokens_that_the_base_lacks'] == 3
    rows = [json.loads(line) for line in (tmp_path / 'work/runs/tuned/responses.jsonl').read_text().splitlines()]
    said = sum(token >= 9 for row in rows for token in row['token_ids'])
    assert said > 0
    assert found['counts']['positions_of_tokens_that_the_base_lacks'] == said
    page = (tmp_path / 'work/report/index.html').read_text()
    assert 'Run tuned: tokens that the base lacks: 3.' in page
    first, second = (transformers.AutoModelForCausalLM.from_pretrained(tuned[1]), longer(tuned[0], tmp_path / 'words'))
    kl = []
    for row in rows:
        ids, start_at = torch.tensor([row['prompt_token_ids'] + row['token_ids']]), len(row['prompt_token_ids']) - 1
        with torch.no_grad():
            p, q = (each.eval()(ids).logits[0, start_at:-1].double().log_softmax(-1) for each in (first, second))
        kl += (p.exp() * (p - q)).sum(-1).tolist()
    np.testing.assert_allclose(found['all']['kl_tuned_base']['mean'], np.mean(kl), rtol=1e-4)


def test_the_longer_model_is_exported_with_its_tokens(tuned, tmp_path):
    asked = compared(*tuned, tmp_path)
    assert start(*asked, '--config.export.dtype=float32').code == 0
    ended = start(*asked, '--config.export.dtype=float32', '--mode=export')
    assert ended.code == 0, ended.err
    folder = tmp_path / 'work/runs/tuned/model'
    again = transformers.AutoModelForCausalLM.from_pretrained(folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tuned[1])
    assert torch.equal(again.lm_head.weight, theirs.lm_head.weight)
    words = transformers.AutoTokenizer.from_pretrained(folder)
    assert words.convert_tokens_to_ids('<|end|>') == 10
    assert 'It was tuned elsewhere; its data are not known here.' in (folder / 'README.md').read_text()
    stale = start(*asked, '--config.export.dtype=float32', '--config.respond.max_new_tokens=7', '--mode=export')
    assert 'respond tuned was made with another max_new_tokens (8, now 7)' in stale.error()


def test_tokens_with_other_ids_are_refused(base, tuned, tmp_path):
    words = transformers.AutoTokenizer.from_pretrained(tuned[1])
    vocabulary = json.loads((tuned[1] / 'tokenizer.json').read_text())
    model_words = vocabulary['model']['vocab']
    model_words['Paris'], model_words['is'] = model_words['is'], model_words['Paris']
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tuned[1])
    theirs.save_pretrained(tmp_path / 'other')
    words.save_pretrained(tmp_path / 'other')
    (tmp_path / 'other/tokenizer.json').write_text(json.dumps(vocabulary))
    ended = start(*compared(tuned[0], tmp_path / 'other', tmp_path))
    assert 'its tokenizer has other tokens than that of the base' in ended.error()


def test_two_vocabularies_are_not_compared_in_one_study(tuned):
    plain, found = (open_source(f'dir:{folder}') for folder in tuned)
    assert lengthened(plain, {}) is plain
    assert lengthened(plain, {'same': plain}) is plain
    with pytest.raises(InputError, match='runs a and b were tuned with two vocabularies; compare them one after'):
        lengthened(plain, {'a': plain, 'b': found})


def test_a_run_that_is_trained_on_the_shorter_base_is_kept_apart(tuned, tmp_path):
    runs = {'lora': Run(), 'theirs': Run(method='given', source=f'dir:{tuned[1]}')}
    asked = Experiment(base=Base(source=f'dir:{tuned[0]}'), runs=runs)

    def study(*only):
        return Study(asked, Workdir(tmp_path), only, StopSignal(), print)

    assert study('lora').base.config.vocab_size == 9
    assert study('theirs').base.config.vocab_size == 12
    with pytest.raises(InputError, match='run theirs was tuned with 3 tokens that the base .* lacks, and run lora is'):
        _ = study('lora', 'theirs').base
