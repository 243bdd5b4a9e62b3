"""Of a run on a quantised base the adapter alone leaves, and says so."""

import json

from commandline import ROOT, start

from jaxshift.store import jsonl


def test_the_adapter_of_a_quantised_base_is_exported_and_no_model(torch_llama, tokenizer, tmp_path):
    for part in (torch_llama(), tokenizer):
        part.save_pretrained(tmp_path / 'base')
    data = [{'instruction': 'the capital of France', 'output': 'is Paris'}] * 4
    (tmp_path / 'data.json').write_text(json.dumps(data))
    asked = (
        f'--config={ROOT / "configs/smollm2_135m.py"}', f'--config.base.source=dir:{tmp_path / "base"}',
        '--config.base.quantize=int8', f'--config.data.source=file:{tmp_path / "data.json"}',
        '--config.data.template=paper', '--only=lora', f'--workdir={tmp_path / "work"}',
        '--config.respond.max_new_tokens=4', '--config.runs.lora.max_steps=1',
    )  # fmt: skip
    for mode in ('data', 'train', 'respond'):
        ended = start(*asked, f'--mode={mode}')
        assert ended.code == 0, ended.err
    ended = start(*asked, '--mode=export')
    assert ended.code == 0, ended.err
    assert 'export lora: no model, because the base is quantised; the adapter fits the original' in ended.out
    folder = tmp_path / 'work/runs/lora'
    assert not (folder / 'model').exists()
    assert {'README.md', 'adapter_config.json', 'adapter_model.safetensors', 'tokenizer.json'} <= {
        path.name for path in (folder / 'adapter').iterdir()
    }
    assert 'held quantised to int8' in (folder / 'adapter/README.md').read_text()
    ended = start(*asked, '--mode=verify_export')
    assert ended.code == 0, ended.err
    (found,) = json.loads((folder / 'export.json').read_text())['distances']
    assert found['between'] == ['lazy', 'adapter']
    assert found['greatest_logit_difference'] == 0
    said = sum(len(row['token_ids']) for row in jsonl.read(folder / 'responses.jsonl'))
    assert found['positions'] == said > 0
