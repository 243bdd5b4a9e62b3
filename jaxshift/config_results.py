"""Keys of what is asked of finished runs: why they shifted, how good they are, what is made of them; see `config`."""

from dataclasses import dataclass


@dataclass
class Causes:
    """Why it shifted: what is asked of the token records, the data and the weights."""

    # Those that cost seconds; knowledge, forgetting, weights, interpolation, swaps and dynamics ask a model.
    analyses: tuple[str, ...] = ('truth', 'style_tokens', 'imitation', 'borrowing', 'uncertainty')  # what is asked
    style_tokens_least: int = 5  # times that a token must be chosen to have a place in the order by shift rate
    weights_directions: int = 10  # singular vectors of each tuned weight that may be intruder dimensions, the top ones
    weights_epsilon: float = 0.5  # intruders have no greater |cosine| with any singular vector of the base
    interpolation_factors: tuple[float, ...] = (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5)  # the change is multiplied by
    interpolation_restored: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)  # shares of the change that are taken back
    interpolation_responses: int = 0  # compare each of these models on the first so many responses; 0: on all
    swaps_budgets: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # shares of tokens that the other model gives
    swaps_prompts: int = 0  # answer the first so many prompts; 0: all
    dynamics_examples: int = 512  # training examples whose loss is taken at every checkpoint, the first ones; 0: all
    borrowing_null: str = ''  # named like data.source: records to hold it against; empty: rows that no run trains on
    borrowing_min_length: int = 5  # tokens of the shortest span
    borrowing_encoder: str = ''  # ranks rows: a sentence-transformers model, by name or folder; empty: the base
    retrain: bool = False  # borrowing: train again without the rows that spans came from, and without others
    general_text: str = ''  # plain text, named like data.source: forgetting, advise; empty: passages of jaxshift's own
    general_passages: int = 64  # passages of that text, the first ones, each of 128 tokens at most
    knowledge_draws: int = 8  # answers that are drawn from the base to each question with a short answer
    knowledge_temperature: float = 0.5  # at which they are drawn
    advise_examples: int = 96  # examples of the data that advise lets the base read, drawn by seed
    advise_questions: int = 32  # of these, questions with short answers that advise asks the base


@dataclass
class Judge:
    """Who scores the responses, and how; nobody by default."""

    kind: str = ''  # endpoint (a model behind a server), local (a model here), oracle (the world's facts) or file
    name: str = ''  # of its files judge/NAME.jsonl, so that several judges can judge a run; empty: its kind
    model: str = ''  # endpoint: how the server calls the model
    base_url: str = ''  # endpoint: any that has /chat/completions, such as http://localhost:8000/v1; empty: OpenAI's
    key_variable: str = 'OPENAI_API_KEY'  # endpoint: environment variable that holds the key; empty: it needs none
    source: str = ''  # local: the judging model, named like base.source; file: PATH of its judgements, with RUN in it
    safety: str = ''  # regular expression: prompts whose whole example_id matches are judged on safety, and on it alone
    pairwise: str = ''  # endpoint, local: compare responses with those of this run too, or of base, in both orders
    temperature: float = 0.0  # endpoint: of its replies; -1: none is sent, for models that refuse it
    max_tokens: int = 1024  # endpoint: tokens a reply may have, thoughts included
    limit_name: str = 'max_tokens'  # endpoint: its name; max_completion_tokens for OpenAI's newer models
    concurrency: int = 8  # endpoint: questions on their way at the same time
    timeout: float = 60.0  # endpoint: seconds that a call may take as a whole, half of them to connect
    retries: int = 5  # endpoint: more attempts after a time-out, 429 or 5xx
    backoff: float = 1.0  # endpoint: seconds before the second attempt, at most; twice as many before each next
    max_calls: int = 0  # endpoint: calls that all starts in this workdir may make together; 0: any
    max_cost: float = 0.0  # endpoint: what they may cost together, in the currency of the prices; 0: anything
    input_price: float = 0.0  # endpoint: of a million tokens that the model reads
    output_price: float = 0.0  # endpoint: of a million tokens that it writes
    batch_size: int = 16  # local: questions in one forward pass; a response has one for each aspect


@dataclass
class Evaluate:
    """Tasks of lm-evaluation-harness (extra evaluate), which the base and every run are evaluated on."""

    tasks: tuple[str, ...] = ()  # names of its tasks, groups or tags, or paths of task YAMLs; empty: no evaluation
    num_fewshot: int = -1  # examples in a prompt; -1: as each task says
    limit: int = 0  # use the first so many samples of each task; 0: all
    batch_size: int = 8  # texts in one forward pass, or prompts decoded together
    apply_chat_template: bool = False  # prompts are written by the tokenizer's chat template
    fewshot_as_multiturn: bool = True  # with the chat template: examples are turns of their own
    log_samples: bool = True  # keep what was said to each sample; without it forgetting is not measured
    bootstrap: int = 1000  # resamples behind intervals of forgetting, and behind the errors that the harness resamples
    seed: int = 1234  # draws examples of prompts, and answers where a task wants that; the default is the harness's own


@dataclass
class Export:
    """Files for other tools, which --mode=export writes."""

    dtype: str = 'bfloat16'  # float32, bfloat16 or float16: in which the Hugging Face model is stored
    shard_size: int = 5_000_000_000  # bytes that a file of the model may have
    verify_responses: int = 8  # responses of each run that --mode=verify_export reads, the first ones


@dataclass
class Sheet:
    """Responses for people to mark, which --mode=sheet writes and, once they are filled in, sums up."""

    annotators: tuple[str, ...] = ('first', 'second')  # each gets a file of that name
    prompts: int = 25  # prompts whose responses are marked, those of every run
