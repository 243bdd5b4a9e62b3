"""Layers dealt to devices, which give what one device gives; see layer_devices.py."""

import json
from pathlib import Path

import numpy as np
from virtual import run


def test_eight_devices_work_on_eight_layers_and_keep_few_of_them(tmp_path):
    run(Path(__file__).with_name('layer_devices.py'), tmp_path / 'out.json')
    found = json.loads((tmp_path / 'out.json').read_text())
    np.testing.assert_allclose(found['spectrum'], found['wanted'], rtol=1e-4)
    assert np.shape(found['spectrum']) == (11, 64)  # eight layers, then three
    assert found['bytes'] <= 4 * found['layer'], found['bytes'] / found['layer']
