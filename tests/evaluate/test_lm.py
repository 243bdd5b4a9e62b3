"""The harness's own model of transformers and torch, against ours, on the same requests."""

import dataclasses

import numpy as np
import peft
import pytest
import torch
from lm_eval import evaluator
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from local_tasks import WORDS

from jaxshift.errors import InputError
from jaxshift.evaluate import lm


@pytest.fixture(scope='module')
def theirs(checkpoint, speaker):
    return HFLM(pretrained=checkpoint[1], tokenizer=speaker, device='cpu', batch_size=8)


@pytest.fixture(scope='module')
def make(checkpoint):
    """Makes our model of the same folder, anew for each use, because it counts."""
    served = lm.opened(f'dir:{checkpoint[0]}')
    return lambda batch_size=8: lm.JaxshiftLM(
        dataclasses.replace(served, scorer=dataclasses.replace(served.scorer, batch_size=batch_size))
    )


@pytest.fixture(scope='module')
def said(theirs, make, tasks):
    """Runs a task on both: lists of samples."""

    def run(name, **settings):
        ours = make()
        found = [
            evaluator.simple_evaluate(
                model=model, tasks=[str(tasks[name])], task_manager=TaskManager(include_defaults=False),
                torch_random_seed=None, bootstrap_iters=0, **settings,
            )['samples'][name]
            for model in (theirs, ours)
        ]  # fmt: skip
        return *found, ours

    return run


def requests(kind, *arguments):
    return [Instance(kind, {}, each, index) for index, each in enumerate(arguments)]


CHAT = {'num_fewshot': 1, 'apply_chat_template': True, 'fewshot_as_multiturn': True}


@pytest.mark.parametrize('settings', [{}, CHAT])
def test_log_likelihoods_of_200_items_are_the_harness_s_own_and_so_is_every_greedy_flag(said, settings):
    theirs, ours, model = said('choice', **settings)
    assert len(ours) == 200
    pairs = [[np.array([answer for (answer,) in each['resps']]) for each in side] for side in (theirs, ours)]
    np.testing.assert_allclose(*(np.concatenate(side)[:, 0].astype(float) for side in pairs), rtol=0, atol=1e-4)
    np.testing.assert_array_equal(*(np.concatenate(side)[:, 1] for side in pairs))
    assert [each['acc'] for each in ours] == [each['acc'] for each in theirs]
    assert [each['arguments'] for each in ours] == [each['arguments'] for each in theirs]
    assert 0 < model.truncated < 800


def test_greedy_flags_of_greedy_continuations_are_true(theirs, make):
    asked = [(word, {'max_gen_toks': 3, 'until': []}) for word in WORDS]
    answers = theirs.generate_until(requests('generate_until', *asked))
    pairs = [(word, f' {text}') for word, text in zip(WORDS, answers, strict=True) if len(text.split()) == 3]
    assert len(pairs) > 5
    found = make().loglikelihood(requests('loglikelihood', *pairs, *((word, ' the of is') for word in WORDS)))
    assert [greedy for _, greedy in found] == [True] * len(pairs) + [False] * len(WORDS)


def test_whole_texts_longer_than_the_context_are_scored_in_the_harness_s_windows(said):
    theirs, ours, _ = said('rolling')
    values = [[each['word_perplexity'] for each in side] for side in (theirs, ours)]
    np.testing.assert_allclose(*values, rtol=1e-6, atol=1e-4)


def test_answers_end_where_the_harness_s_do(said):
    theirs, ours, model = said('generate')
    answers = [each['resps'] for each in ours]
    assert answers == [each['resps'] for each in theirs]
    assert len({len(text.split()) for [[text]] in answers}) > 3
    assert 0 < model.truncated < len(ours)


def test_an_empty_context_is_the_begin_token(theirs, make):
    asked = requests('loglikelihood', ('', 'red sea'), ('', '<s> red'), ('<s> one', ' two'), ('one ', 'two'))
    for one, other in zip(make().loglikelihood(asked), theirs.loglikelihood(asked), strict=True):
        assert one == (pytest.approx(other[0], abs=1e-5), other[1])


def test_neither_batch_nor_company_changes_a_score(make):
    asked = requests('loglikelihood', *(('the sun is', f' {word}') for word in ('red', 'blue red', 'red', 'sea')))
    together = make(4).loglikelihood(asked)
    alone = [make(1).loglikelihood([each])[0] for each in asked]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together[0] == together[2]


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        ({'num_beams': 4}, 'generate with num_beams'),
        ({'max_gen_toks': 48}, 'answers of 48 tokens, the model has a context of 48'),
        ({'do_sample': True, 'max_gen_toks': 8}, 'no temperature above 0'),
    ],
)
def test_what_a_task_may_not_ask_is_named(make, settings, said):
    with pytest.raises(InputError, match=said):
        make().generate_until(requests('generate_until', ('one', settings)))


def test_drawn_answers_are_those_of_their_seed(make):
    asked = requests('generate_until', *[('one', {'temperature': 2.0, 'do_sample': True, 'max_gen_toks': 8})] * 3)
    first = make().generate_until(asked)
    assert first == make().generate_until(asked)
    assert len(set(first)) > 1


def test_a_continuation_that_cannot_be_read_is_named(make):
    with pytest.raises(InputError, match="a continuation of 60 tokens does not fit the context of 48: ' one one"):
        make().loglikelihood(requests('loglikelihood', ('two', ' one' * 60)))


def test_an_adapter_that_the_harness_itself_opens_scores_as_peft_s(checkpoint, torch_llama, speaker, tasks, tmp_path):
    base = torch_llama(max_position_embeddings=48, vocab_size=len(speaker))
    base.load_state_dict(checkpoint[1].state_dict())
    adapted = peft.get_peft_model(base, peft.LoraConfig(r=4, target_modules=['q_proj', 'down_proj']))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if 'lora_B' in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
    adapted.save_pretrained(tmp_path)
    asked = {'tasks': [str(tasks['choice'])], 'limit': 20, 'bootstrap_iters': 0, 'torch_random_seed': None}
    found = [
        evaluator.simple_evaluate(model=model, **asked, task_manager=TaskManager(include_defaults=False), **settings)
        for model, settings in (
            (HFLM(pretrained=adapted, tokenizer=speaker, device='cpu', batch_size=8), {}),
            ('jaxshift', {'model_args': f'source=dir:{checkpoint[0]},adapter=dir:{tmp_path}', 'batch_size': 8}),
            ('jaxshift', {'model_args': {'source': f'dir:{checkpoint[0]}'}, 'batch_size': 8}),
        )
    ]
    theirs, ours, bare = (
        np.array([value for each in one['samples']['choice'] for ((value, _),) in each['resps']], float)
        for one in found
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    assert np.abs(ours - bare).max() > 0.1
