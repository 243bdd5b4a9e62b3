"""Memory is kept where the host computes, and left alone where an accelerator does."""

import importlib.util

import pytest

from jaxshift.devices import host_memory


@pytest.fixture
def told(monkeypatch, tmp_path):
    """Gives the PCI vendors of a machine and which packages it has; what glibc was told is returned."""

    def keep(vendors=('0x8086',), libtpu=False, plugins=(), platforms=''):
        said = []
        for index, vendor in enumerate(vendors):
            (tmp_path / str(index)).mkdir()
            (tmp_path / str(index) / 'vendor').write_text(vendor + '\n')
        library = type('Library', (), {'mallopt': staticmethod(lambda *asked: said.append(asked))})
        monkeypatch.setenv('JAX_PLATFORMS', platforms)
        monkeypatch.setattr(host_memory, '_PCI', tmp_path)
        monkeypatch.setattr(host_memory.metadata, 'entry_points', lambda group: plugins)
        monkeypatch.setattr(importlib.util, 'find_spec', lambda name: libtpu or None)
        monkeypatch.setattr(host_memory.ctypes, 'CDLL', lambda name: library)
        host_memory.keep()
        return said

    return keep


@pytest.mark.parametrize(
    'machine',
    [
        {},
        {'libtpu': True},  # installed to plan for TPUs that are elsewhere
        {'libtpu': True, 'vendors': ['0x1ae0'], 'platforms': 'cpu'},
        {'plugins': ['cuda13'], 'platforms': 'cpu'},
    ],
)
def test_where_the_host_computes_freed_memory_is_kept(told, machine):
    # glibc: M_MMAP_MAX is -4, M_TRIM_THRESHOLD -1, M_ARENA_MAX -8
    assert told(**machine) == [(-4, 0), (-1, 2**31 - 1), (-8, 1)]


@pytest.mark.parametrize('machine', [{'libtpu': True, 'vendors': ['0x8086', '0x1ae0']}, {'plugins': ['cuda13']}])
def test_beside_an_accelerator_nothing_is_said(told, machine):
    assert told(**machine) == []
