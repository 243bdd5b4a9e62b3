"""Advice in ten lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxshift.advise.evidence import FORESEEN, KINDS
from jaxshift.advise.verdict import SAID
from jaxshift.causes import imitation
from jaxshift.devices.chips import GIB

_SIDES = {'data': 'answers', 'general': 'general text'}
_METHODS = {'lora': 'LoRA', 'full': 'full tuning', 'pretrain': 'pre-training'}


def text(advice: Mapping[str, Any]) -> str:
    """The content of advice.json for people."""
    verdict, read = advice['verdict'], advice['foreseen']
    lines = {
        'advice': SAID[verdict['method']] + (' (a close call)' if verdict['close'] else ''),
        'because': verdict['because'],
        'sure': _sure(verdict),
        'read': _read(advice),
        'foreseen': '; '.join(f'{name}: {_kinds(read[side], "foreseen", ".0f", " %")}' for side, name in _SIDES.items())
        + f' of tokens among the {FORESEEN} likeliest',
        'loss': '; '.join(f'{name}: {_kinds(read[side], "loss", ".2f")}' for side, name in _SIDES.items())
        + ' nats a token',
        'asked': _asked(advice['short_answers']),
        'manner': _manner(advice['answers']),
        'doubles': _doubles(advice['doubles']),
        'memory': _memory(advice['memory']),
    }
    width = max(map(len, lines))
    return '\n'.join(f'{name:{width}}  {line}' for name, line in lines.items())


def _sure(verdict: Mapping[str, Any]) -> str:
    unknown, known = verdict['bounds']
    rule = f'LoRA from {known:g} on, full from {unknown:g} to {known:g}, below that pre-train further first'
    if verdict['value'] is None:
        return f'by rule; where there is something to know: {rule}'
    interval = verdict['interval']
    spread = f' [{interval[0]:.2f}, {interval[1]:.2f}]' if interval else ''
    return f'{verdict["value"]:.2f}{spread} by {verdict["by"]}; {rule}'


def _read(advice: Mapping[str, Any]) -> str:
    data, general = advice['data'], advice['general_text']
    formats = ', '.join(dict.fromkeys(source['format'] for source in data['sources'].values()))
    left_out = data['left_out'] | {'records refused': sum(source['refused'] for source in data['sources'].values())}
    left = ''.join(f', {count} {reason.replace("_", " ")}' for reason, count in left_out.items() if count)
    return (
        f'{data["read"]} of {data["examples"]} examples ({formats}){left}; {general["passages"]} passages of general '
        f'text ({general["source"]})'
    )


def _kinds(side: Mapping[str, Any], figure: str, form: str, unit: str = '') -> str:
    """A figure of each kind of word."""
    values = {kind: side[kind][figure] for kind in KINDS}
    return ', '.join(f'{kind} {"–" if value is None else f"{value:{form}}{unit}"}' for kind, value in values.items())


def _asked(short: Mapping[str, Any]) -> str:
    share = f'{100 * short["share"]:.0f} % of answers are short'
    if short['too_long']:
        share += f' (to {short["too_long"]} of them the question is too long to ask)'
    if not short['asked']:
        return f'{share}, too few to ask'
    bins = ', '.join(f'{name} {count}' for name, count in short['bins'].items())
    return f'{share}; the base, asked {short["asked"]} of these {1 + short["draws"]} times: {bins}'


def _manner(answers: Mapping[str, Any]) -> str:
    lengths = {name: answers[name]['quantiles'] for name in ('words', 'tokens')}
    middle, most = imitation.QUANTILES.index(50), imitation.QUANTILES.index(95)
    shares = ', '.join(f'{name}s {100 * answers[name]["mean"]:.0f} %' for name in ('list', 'heading'))
    openings = ', '.join(f'“{words}” {100 * n / answers["texts"]:.0f} %' for words, n in answers['openings'][:3])
    return (
        f'answers of {lengths["words"][middle]:.0f} words, {lengths["tokens"][middle]:.0f} tokens (95 % have at most '
        f'{lengths["words"][most]:.0f}, {lengths["tokens"][most]:.0f}); {shares}; begin {openings}'
    )


def _doubles(doubles: Mapping[str, int]) -> str:
    return (
        f'{doubles["records"]} records repeat another, {doubles["questions_with_several_answers"]} questions have '
        f'several answers, {doubles["answers_of_several_questions"]} answers several questions'
    )


def _memory(memory: Mapping[str, Any]) -> str:
    room = memory['device_bytes']
    sizes = ', '.join(
        f'{_METHODS[name]} {_size(size)}{" (too much)" if size > room else ""}'
        for name, size in memory['before_a_step'].items()
    )
    return (
        f'before a step each device holds: {sizes}; here {memory["devices"]} {memory["kind"]}, each with {_size(room)} '
        f'({memory["source"]}); for whole steps --mode=plan'
    )


def _size(size: int) -> str:
    return f'{size / GIB:.1f} GiB' if size >= GIB else f'{size / 2**20:.0f} MiB'
