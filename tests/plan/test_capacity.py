"""What weights or devices are missing is said in one line, with the plan that needs neither."""

import pytest
from commandline import DEMO, ROOT, start

from jaxshift.devices.chips import GIB, Chip

LORA_70B = f'--config={ROOT / "configs/lora_70b.py"}'
PLAN = f'python run.py {LORA_70B} --mode=plan --topology=v5e:4x4'


def memory(monkeypatch, size):
    monkeypatch.setattr('jaxshift.plan.capacity.chip', lambda devices: Chip(size, 'a test'))


@pytest.mark.parametrize('mode', ['run', 'train', 'sweep'])
def test_devices_that_cannot_hold_the_weights_are_told_before_these_are_fetched(monkeypatch, tmp_path, mode):
    memory(monkeypatch, 80 * GIB)
    ended = start(LORA_70B, f'--workdir={tmp_path}', f'--mode={mode}')
    assert ended.code == 2
    line = ended.error()
    # 68,976,648,192 parameters of two bytes are 128.5 GiB.
    for part in ('Llama-2-70b-hf needs 128.', 'GiB a device', '80.0 GiB each', 'config.mesh.fsdp=-1', PLAN):
        assert part in line


@pytest.mark.parametrize(
    ('analyses', 'method', 'bytes_each'),
    [('weights', 'full', 4 + 4), ('truth,interpolation', 'full', 4 + 4 + 2 + 2), ('swaps', 'full', 2 + 2),
     ('interpolation', 'lora', 2), ('knowledge', 'full', 2)],
)  # fmt: skip
def test_causes_count_both_models_as_they_are_held(monkeypatch, tmp_path, analyses, method, bytes_each):
    memory(monkeypatch, 80 * GIB)
    ended = start(
        LORA_70B, f'--workdir={tmp_path}', '--mode=causes', f'--config.causes.analyses={analyses}',
        f'--config.runs.lora.method={method}',
    )  # fmt: skip
    assert ended.code == 2
    assert f'needs {68_976_648_192 * bytes_each / GIB:.1f} GiB a device' in ended.error()


@pytest.mark.parametrize(('method', 'models'), [('lora', 1), ('full', 2)])
def test_a_sweep_of_two_whole_models_counts_both(monkeypatch, tmp_path, method, models):
    memory(monkeypatch, GIB)
    ended = start(LORA_70B, f'--workdir={tmp_path}', '--mode=sweep', f'--config.runs.lora.method={method}')
    assert ended.code == 2
    assert f'needs {models * 68_976_648_192 * 2 / GIB:.1f} GiB a device' in ended.error()


def test_causes_that_read_files_alone_need_no_devices(monkeypatch, tmp_path):
    memory(monkeypatch, 1)
    ended = start(LORA_70B, f'--workdir={tmp_path}', '--mode=causes', '--config.causes.analyses=uncertainty')
    assert ended.code == 2
    assert 'GiB' not in ended.error()


def test_gated_weights_that_are_not_here_name_the_token_and_the_plan(monkeypatch, tmp_path):
    import huggingface_hub

    def refused(*arguments, **settings):
        raise ConnectionError('no network')

    monkeypatch.setattr(huggingface_hub, 'snapshot_download', refused)
    memory(monkeypatch, 2000 * GIB)
    ended = start(LORA_70B, f'--workdir={tmp_path}')
    assert ended.code == 2
    line = ended.error()
    for part in ('Llama-2-70b-hf: cannot be fetched', 'HF_TOKEN', 'dir:PATH', PLAN):
        assert part in line


def test_what_is_made_here_is_not_held_to_it(monkeypatch, tmp_path):
    memory(monkeypatch, 1)
    ended = start(DEMO, f'--workdir={tmp_path}', '--mode=sweep', '--config.mesh.data=2')
    assert 'GiB' not in ended.error()
