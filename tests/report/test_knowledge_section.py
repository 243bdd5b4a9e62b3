"""What the page says of knowledge bins and forgotten text, from figures with a known answer."""

from types import SimpleNamespace

from jaxshift.report import knowledge


def bin_(name, facts, after, low, high, kl):
    return {
        'bin': name, 'facts': facts, 'positions': 9 * facts, 'before': 1.0, 'drawn': 1.0, 'after': after,
        'after_low': low, 'after_high': high, 'kl_tuned_base': kl, 'kl_tuned_base_low': None,
        'kl_tuned_base_high': None, 'shifted': 5.0, 'shifted_low': 4.0, 'shifted_high': 6.0,
    }  # fmt: skip


def mean(value):
    return {'mean': value, 'interval': [value - 0.01, value + 0.01]}


BINS = [bin_('highly known', 192, 0.75, 0.7, 0.8, 0.4), bin_('unknown', 1, 1.0, None, None, None)]
KNOWN = {'draws': 8, 'answer_tokens': 32, 'bins': BINS, 'windows': 'context own'}
FORGOTTEN = {
    **{name: mean(0.5) for name in ('base_loss', 'tuned_loss', 'same_top_1', 'kl_tuned_base')},
    'base_entropy': mean(0.43), 'cross_entropy': mean(0.78), 'kl_base_tuned': mean(0.35),
    'text': 'passages', 'positions': 1898, 'passages': 64,
}  # fmt: skip


def found(**explained):
    return SimpleNamespace(explained=explained, config={'runs': {'lora': {'method': 'lora'}}})


def test_bins_of_every_run_are_told_with_their_intervals():
    section = knowledge.knowledge(found(lora={'knowledge': KNOWN}, other={}))
    assert 'of 192 highly known facts 75.0 % [70.0, 80.0] are right' in section.sentences[1]
    assert 'of 1 unknown fact 100 % are right' in section.sentences[1]
    assert 'Of every answer the first 32 tokens count.' in section.sentences[0]
    assert [row['run'] for row in section.tables['knowledge']] == ['lora', 'lora']
    figure, _ = section.figures['knowledge']
    assert figure.axes[0].get_ylim() == (-0.04, 1.04)
    assert [len(axes.containers) for axes in figure.axes] == [2, 1, 2]  # a mean that is not there is not drawn


def test_forgetting_is_what_cross_entropy_has_above_entropy():
    section = knowledge.forgetting(found(lora={'forgetting': FORGOTTEN}))
    assert 'cross-entropy 0.780 nats a token, entropy 0.430: 0.350 [0.340, 0.360] more' in section.sentences[1]
    assert section.tables['forgetting_text'][0]['kl_base_tuned'] == 0.35


def test_nothing_is_said_of_what_was_not_asked():
    assert knowledge.knowledge(found(lora={})) is None
    assert knowledge.forgetting(found(lora={})) is None
