import pytest
from commandline import DEMO, start

from jaxshift import config
from jaxshift.data import world
from jaxshift.store import paths

# A world of a few people, and a base that reads about them until it knows most facts.
SMALL = {
    'known_people': 16, 'new_people': 12, 'first_names': 8, 'last_names': 8, 'documents': 1500, 'hidden_size': 64,
    'intermediate_size': 128, 'layers': 2, 'gate': 0.6, 'test_questions': 12,
}  # fmt: skip
SETTINGS = (
    DEMO,
    *(f'--config.world.{key}={value}' for key, value in SMALL.items()),
    '--config.world.pretraining.max_steps=250',
    '--config.world.pretraining.learning_rate=5e-3',
    '--config.runs.lora.min_steps=0',
    '--config.runs.lora.max_steps=1',
    '--config.sweep.bootstrap=200',
    '--only=lora',
)


@pytest.fixture(scope='session')
def informed(tmp_path_factory):
    """A workdir with such a base."""
    folder = tmp_path_factory.mktemp('informed')
    for mode in ('data', 'train'):
        ended = start(*SETTINGS, f'--mode={mode}', f'--workdir={folder}')
        assert ended.code == 0, ended.err
    return folder


@pytest.fixture
def advise(informed):
    """`--mode=advise` in it, with more settings."""
    return lambda *settings: start(*SETTINGS, '--mode=advise', f'--workdir={informed}', *settings)


@pytest.fixture
def instructions(tmp_path):
    """Writes instructions of that world, a share of them about people whom the base has not read about."""

    def written(new_share):
        made = world.generate(config.World(**SMALL, new_share=new_share))
        paths.write_json(tmp_path / 'instructions.json', made.instructions)
        return f'--config.data.source=file:{tmp_path / "instructions.json"}'

    return written
