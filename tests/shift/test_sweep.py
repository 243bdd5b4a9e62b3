import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from by_loops import assert_same, by_loops

from jaxshift import config
from jaxshift.config import Sweep
from jaxshift.devices import mesh as meshes
from jaxshift.devices.process import StopSignal
from jaxshift.errors import Stopped
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.llama.linear import LoraSpec
from jaxshift.shift import aligntds, records
from jaxshift.shift import sweep as module
from jaxshift.shift.contexts import Comparison, cases
from jaxshift.shift.measures import Measures
from jaxshift.shift.sweep import Pair, compare, sweep
from jaxshift.tune import lora

SPEC = LoraSpec(('q_proj', 'v_proj', 'down_proj'), rank=4, alpha=8.0)
SETTINGS = Sweep(batch_size=4, chunk=16, top_k=5)
# Logits of these models are near 10 and come out of float32 sums of some hundred terms: they differ by some 1e-5
# from exact ones, and with them log-probabilities and divergences.
NEAR = {'atol': 3e-5, 'rtol': 1e-4}


@pytest.fixture(scope='module')
def adapter(small):
    """An adapter whose b is not zero any more."""
    drawn = lora.init(jax.random.key(0), small[1], SPEC)
    return jax.tree.map(lambda x: x + 0.05 * jax.random.normal(jax.random.key(1), x.shape), drawn)


@pytest.fixture(scope='module')
def forms(small, adapter):
    return both_forms(*small[:2], adapter)


def both_forms(shape, base, adapter):
    """The same two models as the sweep takes them: (pair, params) by the name of the form."""
    folded = lora.fold(lora.merge(base, adapter, SPEC))
    return {
        'paired': (Pair(shape, 'float32', True), lora.merge(base, adapter, SPEC, paired=True)),
        'two trees': (Pair(shape, 'float32', False), (base, folded)),
    }


@pytest.fixture(scope='module')
def responses():
    """Nine responses of other lengths than their prompts, one of them empty."""
    random = np.random.default_rng(5)
    lengths = [(3, 7), (12, 1), (5, 0), (40, 30), (9, 7), (1, 12), (20, 20), (2, 33), (33, 4)]
    return [
        {
            'example_id': f'e{number}',
            'prompt_token_ids': random.integers(0, 40, prompt).tolist(),
            'token_ids': random.integers(0, 40, response).tolist(),
        }
        for number, (prompt, response) in enumerate(lengths)
    ]


def run_sweep(form, responses, folder, settings=SETTINGS, stop=None, progress=lambda done, total: None):
    found = cases(responses, None, 128)[0]
    comparisons = [Comparison('own', 'matched', -1, found)]
    mesh = meshes.make(config.Mesh())
    sweep(lambda _: form, comparisons, 'tuned', settings, None, mesh, folder, stop or StopSignal(), progress)
    return records.read(folder).to_pylist()


def exact_models(torch_model, adapter):
    """Base and tuned in torch's float64; the adapter is folded into the weights there."""
    base, tuned = copy.deepcopy(torch_model).double(), copy.deepcopy(torch_model).double()
    for name, term in adapter['layers'].items():
        change = np.einsum('lir,lro->loi', np.float64(term['a']), np.float64(term['b'])) * SPEC.alpha / SPEC.rank
        for layer, part in zip(tuned.model.layers, change, strict=True):
            block = layer.mlp if name == 'down_proj' else layer.self_attn
            with torch.no_grad():
                getattr(block, name).weight += torch.tensor(part)
    return base, tuned


def window_by_window(models, response, prompts=None):
    """Measures of every window of a response, each run through both models by itself; prompts: (base's, tuned's)."""
    prompts = prompts or [response['prompt_token_ids']] * 2
    logits = ([], [])
    for end in range(len(response['token_ids'])):
        for rows, torch_model, prompt in zip(logits, models, prompts, strict=True):
            window = torch.tensor([prompt + response['token_ids'][:end]])
            with torch.no_grad():
                rows.append(torch_model(window).logits[0, -1].numpy())
    return by_loops(*map(np.stack, logits), response['token_ids'], SETTINGS.top_k)


def answered(responses):
    return [response for response in responses if response['token_ids']]


def of_response(rows, response):
    """The measures of a response, which must be there at every token."""
    own = [row for row in rows if row['example_id'] == response['example_id']]
    assert [row['position'] for row in own] == list(range(len(response['token_ids'])))
    assert [row['token_id'] for row in own] == response['token_ids']
    return Measures(*(np.array([row[name] for row in own]) for name in Measures._fields))


@pytest.mark.parametrize('form', ['paired', 'two trees'])
def test_every_row_is_that_of_its_window_run_by_itself_in_float64(small, adapter, forms, responses, tmp_path, form):
    rows = run_sweep(forms[form], responses, tmp_path)
    models = exact_models(small[2], adapter)
    assert len(rows) == sum(len(response['token_ids']) for response in responses)
    for response in answered(responses):
        assert_same(of_response(rows, response), window_by_window(models, response), **NEAR)
    assert {(row['run'], row['context'], row['template'], row['context_length']) for row in rows} == {
        ('tuned', 'own', 'matched', -1)
    }
    kinds = {'unshifted': {1}, 'marginal': {2, 3}, 'shifted': set(range(4, 41))}
    assert all(row['base_rank'] in kinds[row['shift_class']] for row in rows)
    assert {row['shift_class'] for row in rows} == set(kinds)


def test_a_base_with_a_prompt_of_its_own_reads_that_and_the_same_response(small, adapter, forms, responses, tmp_path):
    base_prompts = {row['example_id']: [3, *row['prompt_token_ids'][::-1], 4] for row in responses}
    comparison = Comparison('own', 'native', -1, cases(responses, base_prompts, 128)[0])
    run = (meshes.make(config.Mesh()), tmp_path, StopSignal(), lambda done, total: None)
    sweep(lambda _: forms['two trees'], [comparison], 'tuned', SETTINGS, None, *run)
    found = records.read(tmp_path).to_pylist()
    assert len(found) == sum(len(response['token_ids']) for response in responses)
    assert {row['template'] for row in found} == {'native'}
    models = exact_models(small[2], adapter)
    for response in answered(responses):
        prompts = base_prompts[response['example_id']], response['prompt_token_ids']
        assert_same(of_response(found, response), window_by_window(models, response, prompts), **NEAR)


@pytest.mark.parametrize('form', ['paired', 'two trees'])
def test_dynamic_scaling_follows_the_length_of_each_row_and_not_its_padding(ported, adapter, responses, tmp_path, form):
    scaling = {'rope_type': 'dynamic', 'rope_theta': 1e4, 'factor': 8.0}
    shape, base, theirs = ported(rope_parameters=scaling, max_position_embeddings=16)
    rows = run_sweep(both_forms(shape, base, adapter)[form], responses, tmp_path)
    for response in answered(responses):
        tokens = torch.tensor([response['prompt_token_ids'] + response['token_ids']])
        # Of a new model each time: one that has seen a longer row would go on with its length.
        with torch.no_grad():
            logits = [each(tokens).logits[0].numpy() for each in exact_models(theirs, adapter)]
        windows = slice(len(response['prompt_token_ids']) - 1, -1)
        expected = by_loops(*(each[windows] for each in logits), response['token_ids'], SETTINGS.top_k)
        assert_same(of_response(rows, response), expected, **NEAR)


def test_the_columns_of_aligntds_come_from_thirty_tokens_and_change_no_other(forms, responses, tmp_path):
    plain = run_sweep(forms['paired'], responses, tmp_path / 'plain')
    comparison = Comparison('own', 'matched', -1, cases(responses, None, 128)[0])
    texts = aligntds.text_ids([f't{i}' for i in range(40)])
    run = (meshes.make(config.Mesh()), tmp_path / 'beside', StopSignal(), lambda done, total: None)
    sweep(lambda _: forms['paired'], [comparison], 'tuned', SETTINGS, texts, *run)
    beside = records.read(tmp_path / 'beside')
    assert beside.drop_columns(list(aligntds.COLUMNS)).to_pylist() == plain
    rank = beside['aligntds_top_rank'].to_numpy()
    exact = beside['base_rank'].to_numpy()
    np.testing.assert_array_equal(rank, np.where(exact <= 30, exact - 1, 50))  # 0-based, and censored
    assert len(set(exact.tolist())) > 3


def draw_batch(rows=3, length=48, windows=20):
    random = np.random.default_rng(7)
    tokens = random.integers(0, 40, (rows, length)).astype(np.int32)
    ends = np.sort(random.integers(0, length, (rows, windows)).astype(np.int32))
    return tokens, ends, random.integers(0, 40, (rows, windows)).astype(np.int32)


def test_the_chunk_changes_nothing_and_neither_does_the_form(forms):
    batch = draw_batch()
    whole = compare(*forms['paired'], *batch, chunk=10_000, top_k=5)
    assert whole.js.shape == (3, 20)
    assert whole.top_ids_base.shape == (3, 20, 5)
    for chunk in (7, 24):
        assert_same(compare(*forms['paired'], *batch, chunk=chunk, top_k=5), whole)
    # Folding sums w + s a b before it meets x, the lazy form after: float32 rounds otherwise.
    assert_same(compare(*forms['two trees'], *batch, chunk=24, top_k=5), whole, **NEAR)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_before_the_first_step_tuned_is_base_bit_for_bit(small, dtype):
    shape, base, _ = small
    base = jax.tree.map(lambda leaf: leaf.astype(dtype), base)
    untrained = lora.init(jax.random.key(0), base, SPEC)
    tokens, *batch = draw_batch()
    hidden = jax.jit(lambda params: model.forward(shape, params, tokens, dtype=jnp.dtype(dtype)))
    np.testing.assert_array_equal(hidden(base), hidden(lora.merge(base, untrained, SPEC)))
    params = lora.merge(base, untrained, SPEC, paired=True)
    found = compare(Pair(shape, dtype, True), params, tokens, *batch, chunk=24, top_k=5)
    for name in ('kl_tuned_base', 'kl_base_tuned', 'js', 'total_variation'):
        np.testing.assert_array_equal(getattr(found, name), 0, err_msg=name)
    np.testing.assert_array_equal(found.base_rank, 1)
    np.testing.assert_array_equal(found.base_logprob, found.tuned_logprob)


def test_a_restart_goes_on_behind_the_parts_that_are_there(forms, responses, tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'BATCHES_A_PART', 1)
    whole = run_sweep(forms['paired'], responses, tmp_path / 'whole')
    stop = StopSignal()
    stop.requested = True
    with pytest.raises(Stopped):
        run_sweep(forms['paired'], responses, tmp_path / 'cut', stop=stop)
    assert [path.name for path in (tmp_path / 'cut').iterdir()] == ['part-00000.parquet']
    first = (tmp_path / 'cut' / 'part-00000.parquet').stat()
    seen = []
    again = run_sweep(forms['paired'], responses, tmp_path / 'cut', progress=lambda *at: seen.append(at))
    assert again == whole
    assert (tmp_path / 'cut' / 'part-00000.parquet').stat().st_mtime_ns == first.st_mtime_ns
    assert seen[-1] == (len(whole), len(whole))
    assert len(seen) == 2


def test_temporaries_grow_by_hidden_states_and_one_layers_projections_alone():
    """Width 576 and V = 128,256: for T = 8,192 against T = 2,048, and no [T, V], no [T, T], no [L, T, D]."""
    shape = LlamaConfig(128_256, 576, 1536, 4, 9, 3, 64, 8192, 1e-5, 1e4, tie_word_embeddings=True)
    spec = LoraSpec(('q_proj', 'v_proj'), 8, 16.0)
    base = model.shapes(shape)
    params = jax.eval_shape(lambda: lora.merge(base, lora.init(jax.random.key(0), base, spec), spec, paired=True))

    def temporaries(length):
        rows = [jax.ShapeDtypeStruct((1, length), jnp.int32)] * 3
        compiled = compare.lower(Pair(shape, 'float32', True), params, *rows, chunk=256, top_k=10).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    short, long = temporaries(2048), temporaries(8192)
    # What stands for each further position, for base and tuned, in float32: the residual stream and the states that
    # wait for the head (2 x 576), and of one layer queries (576), keys and values (2 x 192), gate and up (2 x 1536).
    each = 2 * 4 * (2 * 576 + 576 + 2 * 192 + 2 * 1536)
    growth = (8192 - 2048) * each
    assert growth < 4 * 6144 * 128_256 / 10  # far from what logits of every position would add
    assert short < long <= 1.2 * short + growth
    # Today less than that grows: logits of a chunk and the turned head, which do not, are nearly all there is.
    assert long - short <= growth
