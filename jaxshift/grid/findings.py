"""The nine findings of Ghosh et al. (arXiv 2402.05119), held to the cells of a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxshift.grid import pairing as ways
from jaxshift.grid import questions as ask
from jaxshift.grid.pairing import Pair, Pairs
from jaxshift.grid.questions import CONTRADICTED, HOLDS, MARGIN, UNCLEAR, Question
from jaxshift.report.tables import Row

WORDS = (
    'A question holds where the whole interval lies where the paper expects it, is contradicted where it lies on the '
    'other side, and is unclear otherwise. That there is no gain holds where the interval ends below '
    f'{MARGIN:g} of the scale, and else is contradicted where it lies above zero; it is unclear where what the gain is '
    'counted from leaves no room for one. What a pairing made equal is not asked of it. Every interval stands for '
    'itself: none is widened for their number.'
)


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
      number: in the order of the paper's text.
      claim: in the paper's sense.
      questions: what is asked of LoRA against full tuning.
      treated: what is asked of a LoRA run with a treatment (`full` in a pair) against plain LoRA (`lora`).
      not_asked: what of the claim is not measured, and why.
    """

    number: int
    claim: str
    questions: tuple[Question, ...] = ()
    treated: tuple[Question, ...] = ()
    not_asked: str = ''


ACCURACY = 'held_out_accuracy'  # which the controlled world has; elsewhere there may be a judge
HELPFULNESS, SCORES = 'score_helpfulness', (1.0, 5.0)
FINDINGS = (
    Finding(
        1, 'LoRA shifts the distribution little, full tuning much; the size of the data hardly changes LoRA',
        (
            Question('mean KL, full over LoRA', ask.each_size(ask.over('kl_tuned_base')), 1, ratio=True),
            Question('growth of mean KL with the data, full less LoRA (nats)', ask.ends(ask.growths('kl_tuned_base'))),
        ),
        not_asked='Whether larger models shift less: one base of one size.',
    ),
    Finding(
        2, 'under LoRA the shift sits at the start of each sentence, the rest hardly moves',
        (
            Question('KL at the start less the rest, LoRA (nats)',
                     ask.each_size(ask.within('lora', 'sentence_start', 'sentence_rest'))),
            Question('KL in the rest, full over LoRA', ask.each_size(ask.over('sentence_rest')), 1, ratio=True),
            Question('start over rest, LoRA over full', ask.each_size(ask.contrast('sentence_start', 'sentence_rest')),
                     1, ratio=True),
        ),
    ),
    Finding(
        3, "LoRA's loss falls fast and then stays flat",
        (Question('share of the fall of the loss in the first half of training, LoRA',
                  ask.each_size(ask.of('lora', 'early_fall')), 0.5),),
        not_asked='How flat: a fall along a straight line is no effect here, and most losses fall earlier than that.',
    ),
    Finding(
        4, 'more data does not help LoRA',
        (
            Question('gain in held-out accuracy from the smallest to the largest data, LoRA',
                     ask.ends(ask.growth('lora', ACCURACY)), expected=0),
            Question('gain in judged helpfulness from the smallest to the largest data, LoRA',
                     ask.ends(ask.growth('lora', HELPFULNESS)), expected=0, scale=SCORES, instead_of=ACCURACY),
        ),
        not_asked="The judge's other aspects, which stand in the table of means.",
    ),
    Finding(
        5, 'LoRA on the smallest data beats full tuning on the largest',
        (
            Question('held-out accuracy, LoRA on the smallest less full on the largest',
                     ask.ends(ask.across(ACCURACY))),
            Question('judged helpfulness, LoRA on the smallest less full on the largest',
                     ask.ends(ask.across(HELPFULNESS)), scale=SCORES, instead_of=ACCURACY),
        ),
    ),
    Finding(
        6, 'shifted tokens are style under LoRA, and any token of the tuning data under full tuning',
        (
            Question('share of style words among shifted tokens, full less LoRA',
                     ask.each_size(ask.difference('style_share_of_shifted')), expected=-1),
            Question('share of values among shifted tokens, full less LoRA',
                     ask.each_size(ask.difference('value_share_of_shifted'))),
        ),
    ),
    Finding(
        7, 'full tuning borrows wrong answers from similar instances of the tuning data, LoRA hardly does',
        (
            Question('share of wrong answers that are borrowed less what chance gives, full',
                     ask.each_size(ask.within('full', 'borrowed_share', 'borrowed_null'))),
            Question('words begun by a shifted token that the tuning data have, less those that the null has, full',
                     ask.each_size(ask.within('full', 'words_shifted', 'words_shifted_null'))),
            Question('held-out answers that are wrong, full less LoRA', ask.each_size(ask.difference('wrong_share'))),
        ),
        not_asked='Where LoRA has fewer than ten wrong answers, its own share is not given.',
    ),
    Finding(
        8, 'long tuning answers make long answers, and length brings hallucination',
        (
            Question('words in an answer, LoRA less the base',
                     ask.each_size(ask.within('lora', 'mean_response_words', 'base_mean_response_words'))),
            Question('words in an answer, full less the base',
                     ask.each_size(ask.within('full', 'mean_response_words', 'base_mean_response_words'))),
        ),
        not_asked='Whether length brings hallucination: all tuning answers have one length here.',
    ),
    Finding(
        9, 'filtered data, harder instructions, NEFTune: none beats plain LoRA',
        treated=(
            Question('held-out accuracy, with the treatment less plain LoRA', ask.each_size(ask.difference(ACCURACY)),
                     expected=0),
            Question('judged helpfulness, with the treatment less plain LoRA',
                     ask.each_size(ask.difference(HELPFULNESS)), expected=0, scale=SCORES, instead_of=ACCURACY),
        ),
        not_asked='Treatments of which there is no run.',
    ),
)  # fmt: skip


def table(rows: Sequence[Row]) -> list[Row]:
    """A row for each base, data set, finding, pairing, question and size.

    `value` is the mean over seeds with its interval, `null` the value of no effect, and `verdict` says whether the
    interval lies where the paper expects it.
    """
    made: list[Row] = []
    paired = ways.pairs(rows)
    for base, data in dict.fromkeys((row['base'], row['data']) for row in rows):
        here = [row for row in rows if row['base'] == base and data in (row['data'], row['treated'])]
        measured = {name for row in here for name, value in row.items() if value is not None}
        treated = _treated(here, data)
        for finding in FINDINGS:
            for questions, all_pairs in (
                (finding.questions, paired.get((base, data), {})), (finding.treated, treated),
            ):  # fmt: skip
                for pairing, pairs in all_pairs.items():
                    equal = ways.PAIRINGS[pairing].matched if pairing in ways.PAIRINGS else ''
                    for question in questions:
                        if equal in question.asked.measured.columns or question.instead_of in measured:
                            continue
                        key = {'base': base, 'data': data, 'finding': finding.number, 'pairing': pairing}
                        made += [
                            key | {'question': question.text, 'about': about, **found.columns('value')}
                            | {'null': question.null, 'seeds': found.seeds, 'verdict': verdict}
                            for about, found, verdict in question.answers(pairs)
                        ]  # fmt: skip
    return made


def _treated(rows: Sequence[Row], data: str) -> dict[str, Pairs]:
    """What was treated to pairs of plain LoRA and it, at one learning rate.

    Other data that were made of these are held to the largest set of these, of which they were most likely made; such
    pairs are named by both.
    """
    lora = [row for row in rows if row['method'] == 'lora']
    plain = {
        (row['size'], row['seed'], row['learning_rate']): row for row in lora if row['plain'] and row['data'] == data
    }
    largest = max((size for size, _, _ in plain), default=0)
    found: dict[str, Pairs] = {}
    for row in lora:
        other = row['data'] != data
        size = largest if other else row['size']
        twin = plain.get((size, row['seed'], row['learning_rate']))
        if twin and (other or not row['plain']):
            sides = (f'{row["data"]}, {row["run"]}', f'{data}, {twin["run"]}') if other else (row['run'], twin['run'])
            pairs = found.setdefault(' against '.join(sides), {})
            pairs[row['size'], row['seed']] = Pair(twin, row)
    return found


def verdicts(rows: Sequence[Row]) -> dict[int, dict[str, str]]:
    """Of rows of `table` of one base and data set: finding to pairing to how many questions and sizes say what."""
    groups: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row['finding'], row['pairing']), []).append(row)
    found: dict[int, dict[str, str]] = {}
    for (number, pairing), items in groups.items():
        count = counted(items)
        text = f'{count[HOLDS]} hold, {count[UNCLEAR]} unclear, {count[CONTRADICTED]} contradicted'
        found.setdefault(number, {})[pairing] = text
    return found


def counted(rows: Sequence[Row]) -> Mapping[str, int]:
    """How many rows of `table` have each verdict; no room is unclear."""
    return {name: sum(row['verdict'].startswith(name) for row in rows) for name in (HOLDS, UNCLEAR, CONTRADICTED)}
