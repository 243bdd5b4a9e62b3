"""`--mode=plan` of the tiny world on the devices that are here."""

import json

import pytest
from commandline import DEMO, TINY, start

from jaxshift import cells, options, paper
from jaxshift.devices.chips import Chip
from jaxshift.llama import flops
from jaxshift.plan import alternatives, plan, shape, steps
from jaxshift.store import jsonl
from jaxshift.tune import lora

LORA = (*TINY, '--only=lora', '--mode=plan')
PARAMETERS = 2 * (16 * 16 + 2 * 16 * 8 + 16 * 16 + 3 * 16 * 32 + 2 * 16) + 2 * 640 * 16 + 16


def planned(*arguments):
    ended = start(*TINY, '--mode=plan', '--json', *arguments)
    return ended.code, json.loads(ended.out)


@pytest.fixture(scope='module')
def both(tmp_path_factory):
    """Exit code and object of a plan of both runs, and the workdir it was given."""
    folder = tmp_path_factory.mktemp('plan') / 'none'
    return (*planned(f'--workdir={folder}'), folder)


def test_a_plan_that_fits_ends_with_0_and_leaves_nothing_behind(both):
    code, found, folder = both
    assert (code, found['fits'], found['topology'], found['devices']['kind']) == (0, True, 'devices', 'cpu')
    assert not folder.exists()


def test_every_step_of_every_run_is_compiled(both):
    for run in both[1]['runs'].values():
        assert list(run['steps']) == ['train', 'prefill', 'decode', 'sweep']
        for step in run['steps'].values():
            assert step['compile_seconds'] > 0
            assert step['temporary_bytes'] > 0


def test_arguments_are_the_arrays_that_a_step_takes(both):
    base, full = both[1]['base']['parameters'], both[1]['runs']['full']['steps']['train']['argument_bytes']
    assert base == PARAMETERS
    # Values and two moments in float32; tokens, positions and what is trained (segments, unpacked, are not read).
    assert full == pytest.approx(3 * 4 * PARAMETERS + 16 * 96 * (2 * 4 + 1), abs=50)


def test_what_is_trained_and_what_a_checkpoint_holds(both):
    trained = 2 * 8 * (16 + 16 + 16 + 8)  # layers, rank, q_proj and v_proj
    found = both[1]['runs']['lora']
    assert found['trained_parameters'] == trained
    assert found['checkpoint_bytes'] == pytest.approx(3 * 4 * trained, abs=100)


def test_a_cpu_has_no_peak_so_no_time_is_told(both):
    assert both[1]['devices']['peak_flops'] is None
    assert both[1]['runs']['lora']['steps']['train']['least_seconds'] is None


def test_without_data_an_epoch_is_what_the_config_names(both):
    epoch = both[1]['runs']['full']['epoch']
    assert (epoch['examples'], epoch['steps'], epoch['all_steps']) == (24, 2, 6)
    assert epoch['tokens'] == 24 * 96  # at most


@pytest.mark.parametrize(('subset', 'examples', 'steps'), [(0, 52_000, 1625), (1000, 1000, 32)])
def test_without_data_or_world_an_epoch_is_the_papers_or_the_subset(tmp_path, subset, examples, steps):
    experiment = options.load('configs/lora_70b.py')
    experiment.data.subset = subset
    epoch = plan._epoch(experiment, 'lora', tmp_path)
    assert (epoch.examples, epoch.steps, epoch.tokens) == (examples, steps, examples * 1024)


def test_a_cell_that_takes_all_of_its_data_says_how_many_these_are(tmp_path):
    common, cell = paper.grid('Llama-2-7B', micro_batch_size=8), paper.cells()['alpagasus_9k_seed0_lora']
    (experiment,) = cells.experiments(common, {'cell': cell}).values()
    epoch = plan._epoch(experiment, 'lora', tmp_path, cell.size)
    assert (epoch.examples, epoch.all_steps) == (9000, 844)  # of 32 examples, three times over


def test_with_data_an_epoch_is_that_of_the_workdir(finished):
    epoch = planned(f'--workdir={finished}', '--only=full')[1]['runs']['full']['epoch']
    counts = json.loads((finished / 'data/counts.json').read_text())
    assert (epoch['examples'], epoch['tokens']) == (counts['examples'], counts['tokens'])
    assert epoch['all_steps'] == jsonl.read(finished / 'runs/full/metrics.jsonl')[-1]['step']


def test_the_table_has_a_line_a_step_and_says_that_it_fits(tmp_path):
    ended = start(*LORA, f'--workdir={tmp_path}')
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    rows = [line.split() for line in lines if line.startswith('lora  ')]
    assert [row[1] for row in rows] == ['train', 'prefill', 'decode', 'sweep']
    assert lines[-1] == 'lora: fits'


def test_what_does_not_fit_ends_with_3_and_names_settings_that_do(both, monkeypatch, tmp_path):
    step = both[1]['runs']['full']['steps']['train']
    too_little = step['argument_bytes'] + step['temporary_bytes'] - 1
    monkeypatch.setattr('jaxshift.devices.chips.chip', lambda devices: Chip(too_little, 'a test'))
    code, found = planned('--only=full')
    assert (code, found['fits']) == (3, False)
    advice = found['runs']['full']['would_fit_with']
    assert advice
    code, found = planned('--only=full', *(f'--config.{key}={value}' for key, value in advice.items()))
    assert (code, found['fits']) == (0, True)


def test_where_nothing_fits_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr('jaxshift.devices.chips.chip', lambda devices: Chip(1, 'a test'))
    ended = start(*LORA, f'--workdir={tmp_path}')
    assert ended.code == 3
    assert 'lora: does not fit, and no other mesh' in ended.out.splitlines()[-1]


def test_the_roofline_is_bound_by_compute_or_by_what_is_read(both, monkeypatch):
    for rates, bound in (((1.0, 1e30), 'compute'), ((1e30, 1.0), 'memory')):
        monkeypatch.setattr('jaxshift.devices.chips.chip', lambda devices, rates=rates: Chip(2**40, 'a test', *rates))
        step = planned('--only=full')[1]['runs']['full']['steps']['train']
        assert step['bound_by'] == bound
        work = step['flops'] + step['recomputed_flops'] if bound == 'compute' else step['bytes_read']
        assert step['least_seconds'] == pytest.approx(work)
        assert step['bytes_read'] == pytest.approx((2 + 2) * 4 * PARAMETERS, rel=1e-3)  # two passes, two moments


def test_alternatives_begin_with_what_changes_no_result():
    experiment = options.load('configs/demo.py')
    experiment.runs['full'].remat = 'none'
    config = shape.of_base(experiment)
    mesh = plan._mesh(experiment, config, plan.topology.devices('devices'))
    found = [settings for settings, _ in alternatives.of(experiment, 'full', config, mesh, ['train'])]
    assert found[:2] == [
        {'runs.full.remat': 'nothing_saveable'},
        {'runs.full.remat': 'nothing_saveable', 'runs.full.micro_batch_size': 1},
    ]
    assert found[-1]['runs.full.optimizer'] == 'adafactor'
    assert experiment.runs['full'].remat == 'none'


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['--config.base.source=hf:someone/llama'], "hf:someone/llama': its shape is not known here"),
        (['--config.base.source=dir:NOWHERE'], 'NOWHERE/config.json: missing'),
        (['--config.mesh.tensor=3'], 'config.mesh: data=-1, fsdp=1, tensor=3, sequence=1 does not fit 1 devices'),
        (['--config.runs.lora.micro_batch_size=3'], 'must be a multiple of micro_batch_size 3'),
    ],
)
def test_a_plan_of_what_cannot_be_is_one_line(arguments, said):
    ended = start(DEMO, '--mode=plan', '--only=lora', *arguments)
    assert ended.code == 2
    assert said in ended.error()


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['--mode=run', '--topology=v5e:4x4'], '--topology says nothing to --mode=run; it is of --mode=plan'),
        (['--mode=list', '--json'], '--json says nothing to --mode=list'),
        (['--mode=plan', '--profile'], '--profile says nothing to --mode=plan; it is of --mode=run and train'),
    ],
)
def test_flags_of_another_mode_are_refused(arguments, said):
    ended = start(DEMO, *arguments)
    assert ended.code == 2
    assert said in ended.error()


def test_flops_of_a_run_with_an_adapter_are_below_those_of_a_full_one(both):
    steps_of = {name: run['steps']['train']['flops'] for name, run in both[1]['runs'].items()}
    assert steps_of['lora'] < steps_of['full']


def test_adapter_sizes_are_those_that_training_reports():
    experiment = options.load('configs/lora_70b.py')
    config, run = shape.of_base(experiment), experiment.runs['lora']
    assert steps.adapter_size(run, config) == 16_384_000
    assert lora.size(steps.model.shapes(config), steps.lora_spec(run)) == 16_384_000
    assert flops.layers(config) + 2 * 32_000 * 8192 + (2 * 80 + 1) * 8192 == config.parameters
