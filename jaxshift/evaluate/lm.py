"""`jaxshift` as a model of lm-evaluation-harness. Importing this module registers it, and needs the extra `evaluate`.

Everything that decides a number (special tokens, windows, truncation, stop texts) is as in the harness's own HFLM.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jinja2
from jax.sharding import Mesh
from lm_eval import utils
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import handle_stop_sequences, has_bos_prefix, normalize_gen_kwargs
from transformers import PreTrainedTokenizerBase

from jaxshift import config
from jaxshift.data.batches import bucket
from jaxshift.devices import mesh as meshes
from jaxshift.errors import InputError
from jaxshift.evaluate.likelihood import Scorer, log_likelihoods
from jaxshift.respond import responses
from jaxshift.respond.decode import Decoder, generate
from jaxshift.respond.sampling import Sampling
from jaxshift.tune import lora
from jaxshift.weights.given import lengthened
from jaxshift.weights.source import open_adapter, open_source

NEW_TOKENS = 256  # of an answer, where a task does not say; the harness's own default
DRAWN = ('temperature', 'top_k', 'top_p', 'repetition_penalty')  # what a task may say of how answers are drawn


@dataclass(frozen=True)
class Served:
    """A model as the harness is to see it.

    Attributes:
      name: for people.
      scorer: its shape, dtype and rows of a batch.
      params: parameter tree; projections may be lazy leaves.
      tokenizer: its tokenizer.
      stop_ids: tokens that end an answer.
      mesh: the devices.
      progress: takes (requests done, requests in all).
      seed: of drawn answers.
    """

    name: str
    scorer: Scorer
    params: dict = field(repr=False)
    tokenizer: PreTrainedTokenizerBase
    stop_ids: tuple[int, ...]
    mesh: Mesh
    progress: Callable[[int, int], None]
    seed: int = 0


def opened(source: str, adapter: str = '', tokenizer: str = '', dtype: str = 'float32', batch_size: int = 1) -> Served:
    """A model on one device.

    Args:
      source, tokenizer: as in `config.base`.
      adapter: `dir:PATH` of a PEFT LoRA adapter of it, or empty.
      dtype: of weights and arithmetic.
      batch_size: rows of a batch.

    Raises:
      InputError: something is not there, or not what can be read.
    """
    found, mesh = open_source(source, tokenizer), meshes.make(config.Mesh(), jax.local_devices()[:1])
    terms = open_adapter(adapter, found.config) if adapter else None
    if adapter and terms is None:
        raise InputError(f'{adapter}: holds no PEFT adapter; name the folder of adapter_config.json')
    found = lengthened(found, {'adapter': terms} if terms else {})
    params = found.load(dtype)
    if terms:
        params = lora.replace(lora.merge(params, terms.terms(), terms.spec), terms.whole(dtype))
    stops = tuple(sorted({found.tokenizer.eos_token_id, *found.config.eos_token_id}))
    scorer = Scorer(found.config, dtype, batch_size)
    return Served(adapter or source, scorer, params, found.tokenizer, stops, mesh, lambda done, total: None)


@register_model('jaxshift')
class JaxshiftLM(TemplateLM):
    """A Llama on a mesh of devices. To the harness it is one process: all of ours ask it the same.

    Attributes:
      served: the model.
      truncated: requests whose context was cut from the left, because it did not fit the model.
    """

    def __init__(self, served: Served):
        super().__init__()
        self.served, self.tokenizer, self.truncated = served, served.tokenizer, 0

    @classmethod
    def create_from_arg_obj(cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None):
        """For `lm_eval.simple_evaluate('jaxshift', model_args={'source': 'dir:PATH'})`, see `opened`."""
        return cls(opened(**arg_dict, batch_size=int((additional_config or {}).get('batch_size') or 1)))

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: dict[str, Any] | None = None):
        return cls.create_from_arg_obj(utils.simple_parse_args_string(arg_string), additional_config)

    @property
    def eot_token_id(self) -> int:
        return self.tokenizer.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        begin = self.tokenizer.bos_token_id
        return self.eot_token_id if begin is None else begin

    @property
    def max_length(self) -> int:
        return self.served.scorer.config.context

    @property
    def tokenizer_name(self) -> str:
        return self.tokenizer.name_or_path.replace('/', '__')

    def get_model_info(self) -> dict[str, Any]:
        """What results files say of the model beside its numbers."""
        scorer = self.served.scorer
        return {
            'model_num_parameters': scorer.config.parameters,
            'model_dtype': scorer.dtype,
            'truncated_requests': self.truncated,
        }

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs) -> list[int]:
        if add_special_tokens is None:
            # A chat template has written it already.
            begins = has_bos_prefix(string, self.tokenizer.decode(self.prefix_token_id))
            given = {'add_special_tokens': False} if begins else {}
        else:
            given = {'add_special_tokens': add_special_tokens}
        return self.tokenizer.encode(string, verbose=False, **given)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        def written(turns):
            return self.tokenizer.apply_chat_template(
                turns,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )

        try:
            return written(chat_history)
        except jinja2.TemplateError:  # it has no system turns
            return written([turn for turn in chat_history if turn['role'] != 'system'])

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        return super().loglikelihood(requests, disable_tqdm)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = True) -> list[float]:
        windows, owners = [], []
        for owner, request in enumerate(requests):
            ids = self.tok_encode(request.args[0])
            for pair in utils.get_rolling_token_windows(ids, self.prefix_token_id, self.max_length, context_len=1):
                windows.append((None, *utils.make_disjoint_window(pair)))
                owners.append(owner)
        totals = [0.0] * len(requests)
        for owner, (value, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            totals[owner] += value
        return totals

    def _loglikelihood_tokens(self, requests, **kwargs) -> list[tuple[float, bool]]:
        kept, most = [], self.max_length + 1  # the last token is not read
        for texts, context, continuation in requests:
            if not 0 < len(continuation) < most:
                raise InputError(
                    f'a continuation of {len(continuation)} tokens does not fit the context of {self.max_length}: '
                    f'{(texts or ("", ""))[1][:40]!r}; leave its task out of config.evaluate.tasks'
                )
            room = most - len(continuation)
            self.truncated += len(context) > room
            kept.append((context[-room:], continuation))
        served = self.served
        return log_likelihoods(
            served.scorer, served.params, kept, served.mesh, lambda done: served.progress(done, len(kept))
        )

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        answers = [''] * len(requests)
        alike: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            alike.setdefault(json.dumps(request.args[1], sort_keys=True), []).append(index)
        done = 0
        # Processes must do the same in the same order, and the harness may give them its tasks in another.
        for _, indices in sorted(alike.items()):
            stops, decoder = self._decoding(requests[indices[0]].args[1])
            prompts = {index: self._prompt(requests[index].args[0], decoder.max_new_tokens) for index in indices}
            indices.sort(key=lambda index: (-len(prompts[index]), prompts[index]))
            size = min(self.served.scorer.batch_size, len(indices))
            for start in range(0, len(indices), size):
                batch = indices[start : start + size]
                filled = batch + [batch[-1]] * (size - len(batch))
                length = bucket(len(prompts[batch[0]]))
                ids = [prompts[index] for index in filled]
                names = [str(start + number) for number in range(size)]
                found = generate(decoder, self.served.params, ids, length, names)
                for index, tokens in zip(batch, found, strict=False):
                    answers[index] = responses.answer(tokens, decoder.stop_ids, self.tokenizer, stops)[1]
                done += len(batch)
                self.served.progress(done, len(requests))
        return answers

    def _decoding(self, asked: dict[str, Any]) -> tuple[list[str], Decoder]:
        """Stop texts, and how a task wants its answers decoded.

        Raises:
          InputError: it wants something that there is not here.
        """
        left: dict[str, Any] = dict(normalize_gen_kwargs(asked, NEW_TOKENS))
        stops = handle_stop_sequences(left.pop('until'), eos=self.tokenizer.decode(self.eot_token_id))
        length, drawn = left.pop('max_gen_toks'), left.pop('do_sample')
        given = {name: left.pop(name) for name in DRAWN if name in left}
        if left:
            raise InputError(
                f'a task asks to generate with {next(iter(left))}, which is not known here; known are until, '
                f'max_gen_toks, do_sample, {", ".join(DRAWN)}'
            )
        if not 0 < length < self.max_length:
            raise InputError(
                f'a task asks for answers of {length} tokens, the model has a context of {self.max_length}; leave it '
                'out of config.evaluate.tasks, or set max_gen_toks in its generation_kwargs'
            )
        if drawn and not given.get('temperature'):
            raise InputError('a task sets do_sample, but no temperature above 0; set both in its generation_kwargs')
        sampling = Sampling(**given, seed=self.served.seed)
        plain = not drawn and sampling.repetition_penalty == 1
        scorer = self.served.scorer
        decoder = Decoder(scorer.config, scorer.dtype, self.served.stop_ids, length, None if plain else sampling)
        return [stop for stop in stops if stop], decoder

    def _prompt(self, text: str, new_tokens: int) -> list[int]:
        ids, room = self.tok_encode(text), self.max_length - new_tokens
        self.truncated += len(ids) > room
        return ids[-room:]
