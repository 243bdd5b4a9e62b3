"""Tasks on data that are made here, and a small torch model that knows their words."""

import numpy as np
import pytest
from local_tasks import CHOICE, GENERATE, ROLLING, TEMPLATE, WORDS, write_task


@pytest.fixture(scope='session')
def speaker():
    """A tokenizer that begins texts by itself, as Llama's do, with a chat template without system turns."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = {word: i for i, word in enumerate(('<unk>', '<s>', '</s>', *WORDS))}
    backend = Tokenizer(models.WordLevel(words, unk_token='<unk>'))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(single='<s> $A', special_tokens=[('<s>', 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token='<unk>', bos_token='<s>', eos_token='</s>', chat_template=TEMPLATE
    )


@pytest.fixture(scope='session')
def checkpoint(torch_llama, speaker, tmp_path_factory):
    """A folder as transformers writes it, and its torch model; its context is shorter than some texts below."""
    folder, model = (
        tmp_path_factory.mktemp('checkpoint'),
        torch_llama(max_position_embeddings=48, vocab_size=len(speaker)),
    )
    model.save_pretrained(folder)
    speaker.save_pretrained(folder)
    return folder, model


def says(random, least, most):
    return ' '.join(random.choice(WORDS, random.integers(least, most + 1)))


@pytest.fixture(scope='session')
def tasks(tmp_path_factory):
    """Paths of a multiple-choice task of 200 items, one of whole texts, and one of answers."""
    folder, random = tmp_path_factory.mktemp('tasks'), np.random.default_rng(0)
    items = [
        {
            'question': says(random, 0, 60),
            'choices': [says(random, 1, 3) for _ in range(4)],
            'gold': int(random.integers(4)),
            'text': says(random, 1, 130),
        }
        for _ in range(200)
    ]
    return {
        'choice': write_task(folder, 'choice', CHOICE, items),
        'rolling': write_task(folder, 'rolling', ROLLING, items[:30]),
        'generate': write_task(folder, 'generate', GENERATE, items[1:40]),
    }
