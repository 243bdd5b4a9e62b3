import json

import pytest

from jaxshift.store import manifest


@pytest.fixture
def folder(tmp_path):
    """A folder with files at two depths, and its manifest."""
    (tmp_path / 'deep').mkdir()
    (tmp_path / 'a.bin').write_bytes(bytes(range(256)) * 40)
    (tmp_path / 'deep' / 'b.bin').write_bytes(b'')
    manifest.write(tmp_path, step=3)
    return tmp_path


def test_a_sound_folder_has_no_fault(folder):
    assert manifest.fault(folder) is None
    kept = json.loads((folder / 'MANIFEST.json').read_text())
    assert kept['step'] == 3
    assert set(kept['files']) == {'a.bin', 'deep/b.bin'}


def test_every_flipped_bit_is_noticed(folder):
    path = folder / 'a.bin'
    good = path.read_bytes()
    for at, bit in ((0, 0), (5000, 3), (len(good) - 1, 7)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :])
        assert manifest.fault(folder) == 'a.bin is damaged'
    path.write_bytes(good)
    assert manifest.fault(folder) is None


def test_missing_and_shortened_files_are_noticed(folder):
    (folder / 'a.bin').write_bytes((folder / 'a.bin').read_bytes()[:-1])
    assert manifest.fault(folder) == 'a.bin is damaged'
    (folder / 'a.bin').unlink()
    assert manifest.fault(folder) == 'a.bin is missing'
    (folder / 'a.bin').mkdir()
    assert manifest.fault(folder) == 'a.bin is missing'


@pytest.mark.parametrize('content', ['', '{"files": {"a.bin"', '{"step": 3}', '[]', '3'])
def test_a_damaged_manifest_is_a_fault(folder, content):
    (folder / 'MANIFEST.json').write_text(content)
    assert manifest.fault(folder) == 'MANIFEST.json is damaged'


def test_a_flipped_bit_of_the_manifest_is_a_fault_too_and_no_crash(folder):
    path = folder / 'MANIFEST.json'
    good = path.read_bytes()
    text = good.decode()
    for at in (text.index('bytes'), text.index('sha256'), text.index('files'), text.index('a.bin'), 0):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert manifest.fault(folder), at


def test_a_folder_without_a_manifest_is_not_trusted(folder):
    (folder / 'MANIFEST.json').unlink()
    assert manifest.fault(folder) == 'no MANIFEST.json'
