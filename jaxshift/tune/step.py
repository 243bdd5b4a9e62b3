"""One train step for every method: `loss(trainable, frozen, batch)` with `assemble(trainable, frozen) -> params`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxshift import checks
from jaxshift.config import Run
from jaxshift.devices import sharding
from jaxshift.llama import model
from jaxshift.llama.config import LlamaConfig
from jaxshift.llama.linear import LoraSpec
from jaxshift.tune import lora, noise, optimizer
from jaxshift.tune.loss import cross_entropy


@dataclass(frozen=True)
class Recipe:
    """All that a compiled train step depends on, except the shapes of its arrays; hashable.

    Attributes:
      config: shape of the model.
      spec: the adapter that is trained, or None when the parameters themselves are.
      dtype: name of the dtype of activations.
      remat: see `llama.model.Llama`.
      micro_batches: how many parts of a batch are computed one after the other.
      packed: rows hold several examples; else attention need not tell them apart, and kernels that cannot may run.
      neftune_alpha: strength of the noise on the embeddings, see `noise.neftune`.
      algorithm, b1, b2, weight_decay, decay_norms, clip: see `optimizer.chain`.
    """

    config: LlamaConfig
    spec: LoraSpec | None
    dtype: str
    remat: str
    micro_batches: int
    packed: bool
    neftune_alpha: float
    algorithm: str
    b1: float
    b2: float
    weight_decay: float
    decay_norms: bool
    clip: float

    @property
    def optimizer(self) -> optax.GradientTransformation:
        return optimizer.chain(self.algorithm, self.b1, self.b2, self.weight_decay, self.decay_norms, self.clip)


def recipe(run: Run, config: LlamaConfig, dtype: str) -> Recipe:
    """What a configured run compiles to."""
    spec = lora_spec(run) if run.method == 'lora' else None
    parts = run.batch_size // (run.micro_batch_size or run.batch_size)
    return Recipe(
        config, spec, dtype, run.remat, parts, run.pack, run.neftune_alpha,
        run.optimizer, run.b1, run.b2, run.weight_decay, run.decay_norms, run.clip,
    )  # fmt: skip


def lora_spec(run: Run) -> LoraSpec:
    """The adapter that a run trains."""
    ranks = checks.patterns('rank_pattern', run.rank_pattern, int)
    alphas = checks.patterns('alpha_pattern', run.alpha_pattern, float)
    return LoraSpec(tuple(run.targets), run.rank, run.alpha, run.rslora, run.dropout, ranks, alphas)


def assemble(recipe: Recipe, trainable: dict, frozen: dict | None, key: jax.Array | None = None) -> dict:
    """The tuned parameters: for LoRA frozen and trainable merged, else the trainable tree itself."""
    if recipe.spec is None:
        return trainable
    if frozen is None:
        raise ValueError('a LoRA recipe needs the frozen parameters that its adapter belongs to')
    return lora.merge(frozen, trainable, recipe.spec, key)


def loss(recipe: Recipe, trainable: dict, frozen: dict | None, batch: dict, keys: jax.Array | None = None) -> jax.Array:
    """Sum of the loss over a batch's trained tokens, in nats.

    Args:
      recipe: what is computed.
      trainable, frozen: see `assemble`.
      batch: as `data.batches.batch` gives it, of B rows.
      keys: [B] random keys, one a row; they turn noise and dropout on, for training.
    """
    # Dropout takes the key of the first row, so it is drawn for each micro-batch.
    params = assemble(recipe, trainable, frozen, None if keys is None else keys[0])
    perturbation = None
    if keys is not None and recipe.neftune_alpha:
        perturbation = noise.neftune(keys, batch['segments'], recipe.neftune_alpha, recipe.config.hidden_size)
    hidden = model.forward(
        recipe.config,
        params,
        batch['tokens'],
        batch['positions'],
        batch['segments'],
        dtype=jnp.dtype(recipe.dtype),
        remat=recipe.remat,
        packed=recipe.packed,
        noise=perturbation,
    )
    return cross_entropy(hidden, model.head(params), batch['tokens'], batch['trained'])


@functools.lru_cache
def train_step(recipe: Recipe, mesh: Mesh | None = None) -> Callable:
    """The jitted step: (trainable, state, frozen, batch, learning_rate, key) -> (trainable, state, metrics).

    The loss that is minimised is the sum over the global batch, accumulation included, divided by its trained tokens.
    `trainable` and `state` are donated. Metrics are float32 scalars: loss in nats a token, grad_norm, tokens.
    Rows of the batch draw their noise by `key` and their number, whatever micro-batch or device they are on.
    On a mesh `trainable` and `state` leave as they came, laid out by the sharding table.
    """

    def step(trainable, state, frozen, batch, learning_rate, key):
        tokens = batch['trained'].sum().astype(jnp.float32)
        total, gradient = _accumulated(recipe, trainable, frozen, batch, key)
        gradient = optax.tree.scale(1 / jnp.maximum(tokens, 1), gradient)
        updates, state = recipe.optimizer.update(gradient, state, trainable)
        trainable = optax.apply_updates(trainable, optax.tree.scale(-learning_rate, updates))
        metrics = {'loss': total / tokens, 'grad_norm': optax.tree.norm(gradient), 'tokens': tokens}
        if mesh is not None:  # else XLA may lay them out otherwise, and the second step is compiled anew
            placed = sharding.shardings(mesh, (trainable, state))
            trainable, state = jax.lax.with_sharding_constraint((trainable, state), placed)
        return trainable, state, metrics

    return jax.jit(step, donate_argnums=(0, 1))


def _accumulated(recipe: Recipe, trainable, frozen, batch, key):
    """Loss and gradient summed over the micro-batches."""
    value_and_grad = jax.value_and_grad(functools.partial(loss, recipe))
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(len(batch['tokens'])))
    if recipe.micro_batches == 1:
        return value_and_grad(trainable, frozen, batch, keys)

    def add(carry, part):
        total, gradient = carry
        value, more = value_and_grad(trainable, frozen, *part)
        return (total + value, optax.tree.add(gradient, more)), None

    def dealt(x):
        # Every micro-batch takes rows from all over the batch, so that none moves to another device.
        return x.reshape(-1, recipe.micro_batches, *x.shape[1:]).swapaxes(0, 1)

    start = (jnp.float32(0), optax.tree.zeros_like(trainable))
    return jax.lax.scan(add, start, jax.tree.map(dealt, (batch, keys)))[0]
