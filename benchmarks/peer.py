"""The side of torch, transformers and peft in `benchmarks.peers`: python -m benchmarks.peer FOLDER TASK cpu|gpu."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import peft
import torch
import transformers

from benchmarks import timing


def main(folder: str, task: str, device: str) -> None:
    torch.set_num_threads(2)
    place = torch.device('cuda' if device == 'gpu' else 'cpu')
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.to(place)
    tokens = np.random.default_rng(0).integers(0, model.config.vocab_size, (4, 512))
    work = TASKS[task](model, torch.tensor(tokens, device=place))
    rows, inputs, outputs = timing.MATMUL
    left, right = torch.ones(rows, inputs, device=place), torch.ones(inputs, outputs, device=place)
    timing.report(_waiting(work, place), _waiting(lambda: left @ right, place))


def _waiting(work: Callable[[], object], place: torch.device) -> Callable[[], object]:
    def waited():
        result = work()
        if place.type == 'cuda':
            torch.cuda.synchronize()
        return result

    return waited


def _tuned(model) -> peft.PeftModel:
    return peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=16, target_modules=['q_proj', 'v_proj']))


def _sweep(model, tokens) -> Callable[[], object]:
    tuned = _tuned(model).eval()

    def work():
        with torch.no_grad():
            changed = tuned(tokens).logits
            with tuned.disable_adapter():
                return changed, tuned(tokens).logits

    return work


def _lora(model, tokens) -> Callable[[], object]:
    tuned = _tuned(model).train()
    optimizer = torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad], lr=5e-5)

    def work():
        optimizer.zero_grad()
        loss = tuned(tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tuned.parameters(), 1.0)
        optimizer.step()
        return loss

    return work


def _decode(model, tokens) -> Callable[[], object]:
    prompts = tokens[:, :64]
    model.eval()

    def work():
        with torch.no_grad():
            return model.generate(
                prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=64, min_new_tokens=64, do_sample=False
            )

    return work


TASKS = {'sweep': _sweep, 'lora': _lora, 'decode': _decode}

if __name__ == '__main__':
    main(*sys.argv[1:])
