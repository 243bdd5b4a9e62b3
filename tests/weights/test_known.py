import pytest

from jaxshift import paper
from jaxshift.llama.config import from_hf, to_hf
from jaxshift.weights.known import CONFIGS

# As the hub counts the tensors of each repository.
PARAMETERS = {
    'meta-llama/Llama-2-7b-hf': 6_738_415_616,
    'meta-llama/Llama-2-13b-hf': 13_015_864_320,
    'meta-llama/Llama-2-70b-hf': 68_976_648_192,
    'mistralai/Mistral-7B-v0.1': 7_241_732_096,
    'meta-llama/Meta-Llama-3-8B': 8_030_261_248,
    'meta-llama/Meta-Llama-3-70B': 70_553_706_496,
    'meta-llama/Llama-3.1-8B': 8_030_261_248,
    'meta-llama/Llama-3.1-70B': 70_553_706_496,
}


def test_parameters_are_as_published():
    assert {name: config.parameters for name, config in CONFIGS.items()} == PARAMETERS


def test_every_base_of_the_papers_configs_is_known():
    assert {source.removeprefix('hf:') for source in paper.BASES.values()} <= set(CONFIGS)


@pytest.mark.parametrize('name', CONFIGS)
def test_they_are_what_a_config_json_could_say(name):
    assert from_hf(to_hf(CONFIGS[name])) == CONFIGS[name]
