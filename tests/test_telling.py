"""What is told before the devices work, and at the end."""

import json

import numpy as np
import safetensors.numpy
from commandline import TINY, start

from jaxshift.report import shifts
from jaxshift.shift import summary
from jaxshift.shift.classes import CLASSES


def line(out: str, run: str) -> list[str]:
    """The words of a run's line in a table."""
    return next(line for line in out.splitlines() if line.startswith(f'{run} ')).split()


def test_a_start_tells_what_each_run_trains_on_how_much_and_what_it_holds(copy):
    ended = start(*TINY, f'--workdir={copy}', '--mode=train')
    assert ended.code == 0, ended.err
    sizes = {
        'lora': safetensors.numpy.load_file(copy / 'runs/lora/adapter/adapter_model.safetensors'),
        'full': safetensors.numpy.load_file(copy / 'base/model.safetensors'),
    }
    numbers = {run: sum(array.size for array in arrays.values()) for run, arrays in sizes.items()}
    lengths, counts = np.load(copy / 'data/lengths.npy'), json.loads((copy / 'data/counts.json').read_text())
    assert f'the base is world:, {numbers["full"]:,} parameters in float32' in ended.out
    for run, count in numbers.items():
        metrics = json.loads((copy / 'runs' / run / 'metrics.jsonl').read_text().splitlines()[-1])
        share = f'{100 * count / numbers["full"]:.3g}'
        # AdamW keeps two numbers for each that is trained; its count of steps is a third.
        held = 4 * (count + 2 * count + (run == 'lora') * numbers['full'])
        told = line(ended.out, run)
        assert told[1:5] == [run, f'{count:,}', share, '%']
        # Training has counted what it read; the demo's batches are 16 examples, and its data 24.
        examples, tokens = 16 * metrics['step'], metrics['num_tokens']
        assert metrics['step'] * 16 > len(lengths)
        assert told[5:7] == [f'{examples:,}', f'{tokens:,}']
        assert told[7:10] == [f'{100 * counts["trained_tokens"] / counts["tokens"]:.3g}', '%', f'{metrics["step"]:,}']
        assert abs(float(told[10]) - held / 2**20) <= 0.011
        assert told[11] == 'MiB'
    pretrained = json.loads((copy / 'base/pretraining/metrics.jsonl').read_text().splitlines()[-1])
    told = line(ended.out, 'the base ')  # a column, not the sentence
    assert told[2:6] == ['pretrain', f'{numbers["full"]:,}', '100', '%']
    assert told[7] == f'{pretrained["num_tokens"]:,}'
    assert told[10] == f'{pretrained["step"]:,}'


def test_two_whole_models_that_are_compared_are_both_counted(copy):
    count = sum(array.size for array in safetensors.numpy.load_file(copy / 'base/model.safetensors').values())
    out = start(*TINY, f'--workdir={copy}', '--mode=sweep').out
    for run, models in (('lora', 1), ('full', 2)):
        assert abs(float(line(out, run)[-2]) - models * 4 * count / 2**20) <= 0.011


def test_a_mode_that_computes_nothing_tells_nothing_of_that(copy):
    for mode in ('data', 'report'):
        assert 'weights and optimizer take' not in start(*TINY, f'--workdir={copy}', f'--mode={mode}').out


def test_the_report_ends_with_the_shift_of_each_run_and_where_it_lies(copy):
    out = start(*TINY, f'--workdir={copy}', '--mode=report').out
    assert out.splitlines()[-1] == f'report: {copy / "report/index.html"}'
    for run in ('lora', 'full'):
        figures = json.loads((copy / 'runs' / run / 'summary.json').read_text())[0]['all']
        told = line(out, run)
        assert float(told[1].replace(',', '')) == float(f'{figures["kl_tuned_base"]["mean"]:.3g}')
        assert float(told[5]) == float(f'{figures["base_probability"]["mean"]:.3g}')
        assert told[6::2] == [f'{figures["shares"][name]["mean"]:.1f}' for name in CLASSES]


def test_windows_other_than_the_plain_ones_and_missing_intervals():
    def figures(mean, interval):
        shares = {name: {'mean': share} for name, share in zip(CLASSES, (90, 8, 2), strict=True)}
        return {
            'kl_tuned_base': {'mean': mean, 'interval': interval},
            'base_probability': {'mean': 0.5},
            'shares': shares,
        }

    shared = summary.PLAIN | {'context': 'shared'}
    found = {
        'a': [shared | {'all': figures(0.25, [0.2, 0.3])}],
        'b': [shared | {'all': figures(2.0, None)}],
        'c': [summary.PLAIN | {'all': figures(9, None)}],
    }
    assert shifts.of_runs(found, shared)[1:] == [
        ('a', '0.250', '0.200 to 0.300', '0.500', '90.0 %', '8.0 %', '2.0 %'),
        ('b', '2.00', '–', '0.500', '90.0 %', '8.0 %', '2.0 %'),
        ('c', *('–',) * 6),
    ]


def test_several_windows_are_no_plain_ones():
    plain, short = summary.PLAIN, summary.PLAIN | {'context_length': 8}
    assert shifts.title('each run', [plain, plain]) == 'shift of each run; KL(tuned || base) in nats'
    assert 'each run (context own, template matched, prompt tokens kept: 8);' in shifts.title('each run', [short])
    assert 'each run (of several windows);' in shifts.title('each run', [plain, short])
