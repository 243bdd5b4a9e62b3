"""Size and speed of the report's page: 1,000 examples of 300 tokens with the ten likeliest of both models, of two runs.

    python -m benchmarks.page [--examples=1000] [--tokens=300] [--keep=FOLDER]

Records are made up: ids follow Zipf's law over 49,152 tokens, and log-probabilities fall as those of SmolLM2-135M do,
so that a position takes no fewer bytes than one of its real records. Prints one JSON object:

    page_bytes                      of index.html
    build_seconds, build_processor_seconds, build_bytes    making it, by the clock and of the processor; its peak memory
    paint_ms                        from the begin of the navigation to the first contentful paint
    ready_ms                        to the example browser showing an example of both runs
    example_ms                      drawing another example, with its layout: the longest of 50
    filter_ms                       a filter over all positions, the list behind it and an example: of 20
    sort_ms, search_ms              in another order; for a text in all responses
    *_median, *_processor           the median by the clock; the mean time on the processor, painting included, which
                                    tells more where other work has the machine

Exit code 1 where one is above what it should be at the most (`AT_MOST`, at the size above). Without a browser only the
first two lines are measured.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from jaxshift.report import page
from jaxshift.shift import records, summary
from jaxshift.store.paths import Workdir

VOCABULARY = 49_152
K = 10
CANDIDATES = 14  # of a position, of which the lists show the likeliest
END = 0
AT_MOST = {
    'page_bytes': 25_000_000, 'build_seconds': 60, 'build_bytes': 2 << 30, 'paint_ms': 1000, 'example_ms': 50,
    'filter_ms': 200,
}  # fmt: skip


def pieces() -> list[str]:
    """A text for every token: words that begin with a blank, and ends of words."""
    rng = np.random.default_rng(0)
    letters = np.array(list('etaoinshrdlucmfwypvbgkjqxz'))
    sizes = rng.integers(1, 9, VOCABULARY)
    drawn = np.minimum(rng.geometric(0.09, (VOCABULARY, 9)) - 1, 25)
    return [' ' * (i % 3 > 0) + ''.join(letters[drawn[i, :size]]) for i, size in enumerate(sizes)]


def candidates(rng: np.random.Generator, positions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Token ids [P, C], all different at a position, and the log-probabilities of both models."""
    bounds = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
    ids = np.searchsorted(bounds, rng.random((positions, CANDIDATES)) * bounds[-1])
    for column in range(1, CANDIDATES):
        while (again := (ids[:, column : column + 1] == ids[:, :column]).any(axis=1)).any():
            ids[again, column] = rng.integers(VOCABULARY, size=int(again.sum()))
    gaps = rng.lognormal(0.15, 1.15, (positions, 1)) * rng.exponential(1, (positions, CANDIDATES)) ** 1.3
    gaps /= np.arange(1, CANDIDATES + 1) ** 0.7
    scores = -np.cumsum(gaps, axis=1)
    moved = scores + np.abs(rng.normal(0, 0.38, (positions, 1))) * rng.normal(0, 1, scores.shape)
    return ids, _normal(scores), _normal(moved)


def _normal(scores: np.ndarray) -> np.ndarray:
    """Log-probabilities, with a tenth for all other tokens."""
    below = scores - scores.max(axis=1, keepdims=True)
    return below - np.log(np.exp(below).sum(axis=1, keepdims=True)) + np.log(0.9)


def measures(rng: np.random.Generator, positions: int) -> dict[str, np.ndarray]:
    """What the records of so many positions hold."""
    ids, base, tuned = candidates(rng, positions)
    order = {'base': np.argsort(-base, axis=1), 'tuned': np.argsort(-tuned, axis=1)}
    first = order['tuned'][:, :1]

    def pick(values: np.ndarray, at: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, at, axis=1)

    rank = 1 + (base > pick(base, first)).sum(axis=1)
    found = {name: np.zeros(positions) for name in records.MEASURES}
    chosen = pick(ids, first)[:, 0]
    found |= {
        'token_id': chosen,
        'tuned_argmax_id': chosen,
        'base_argmax_id': pick(ids, order['base'])[:, 0],
        'base_rank': rank,
        'emitted_base_rank': rank,
        'emitted_tuned_rank': np.ones(positions),
        'base_logprob': pick(base, first)[:, 0],
        'tuned_logprob': pick(tuned, first)[:, 0],
        'emitted_base_logprob': pick(base, first)[:, 0],
        'emitted_tuned_logprob': pick(tuned, first)[:, 0],
        'kl_tuned_base': np.maximum((np.exp(tuned) * (tuned - base)).sum(axis=1), 1e-6),
        'base_entropy': -(np.exp(base) * base).sum(axis=1) + 0.2,
        'tuned_entropy': -(np.exp(tuned) * tuned).sum(axis=1) + 0.2,
    }
    for name, values in (('base', base), ('tuned', tuned)):
        found[f'top_ids_{name}'] = pick(ids, order[name])[:, :K]
        found[f'top_logprobs_{name}'] = pick(values, order[name])[:, :K]
    return found


def make(folder: Path, examples: int, tokens: int) -> None:
    """A workdir of two runs."""
    texts, runs = pieces(), ('lora', 'full')
    config = {
        'name': 'a large page', 'seed': 0, 'base': {'source': ''}, 'data': {'source': ''}, 'prompts': {'source': ''},
        'sweep': {'bootstrap': 1000, 'marginal_above': 1, 'shifted_above': 3},
        'runs': {run: {'method': run, 'learning_rate': 1e-4, 'seed': 0} for run in runs},
    }  # fmt: skip
    folder.mkdir(parents=True)
    experiment = {'config': config, 'config_hash': '', 'command': '', 'versions': {}}
    (folder / 'experiment.json').write_text(json.dumps(experiment | {'devices': {'count': 1, 'kind': 'cpu'}}))
    ids = [f'prompt-{number:04d}' for number in range(examples)]
    for seed, run in enumerate(runs):
        rng = np.random.default_rng(1 + seed)
        rows = records.table(
            run, 'own', 'matched', -1, np.repeat(ids, tokens).tolist(), measures(rng, examples * tokens),
            positions=np.tile(np.arange(tokens), examples),
        )  # fmt: skip
        path = Workdir(folder).run(run)
        for part in range(8):
            size = -(-len(rows) // 8)
            records.write_part(path / 'tokens', part, rows.slice(part * size, size))
        _beside(path, run, rows, ids, tokens, texts, rng)


def _beside(
    path: Path, run: str, rows: pa.Table, ids: list[str], tokens: int, texts: list[str], rng: np.random.Generator
) -> None:
    extra = {('own', 'matched'): {'method': run, 'learning_rate': 1e-4}}
    summary.write(path / 'summary.json', summary.summarise(rows, texts, [END], 0, 100, extra))
    (path / 'metrics.jsonl').write_text('')
    said = rows['token_id'].to_numpy().reshape(len(ids), tokens)
    with (path / 'responses.jsonl').open('w') as file:
        for example, response in zip(ids, said.tolist(), strict=True):
            prompt = ''.join(texts[token] for token in rng.integers(VOCABULARY, size=20))
            row = {'example_id': example, 'prompt': prompt, 'prompt_token_ids': [1], 'token_ids': response}
            file.write(json.dumps(row | {'response': ''.join(texts[token] for token in response)}) + '\n')


def build(folder: Path) -> dict[str, float]:
    """Makes the page in this process."""
    texts, begin = pieces(), time.perf_counter()
    path = page.write(folder, texts, [END])
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        'page_bytes': path.stat().st_size,
        'build_seconds': time.perf_counter() - begin,
        'build_processor_seconds': used.ru_utime + used.ru_stime,
        'build_bytes': 1024 * used.ru_maxrss,
    }


# Each is called with the number of the repetition, and measured until what it asked for is laid out.
ACTIONS = {
    'example_ms': (50, 'document.getElementById("browser-next").click()'),
    'filter_ms': (20, 'set("browser-limit", 0.2 + n / 10, "input")'),
    'sort_ms': (5, 'set("browser-sort", ["mean", "most", "length", "shifted", "asked"][n], "change")'),
    'search_ms': (5, 'set("browser-search", ["a the", "x", "ent", "in an", ""][n], "input")'),
}
MEASURE = """async ([count, action]) => {
  const set = (id, value, event) => {
    const control = document.getElementById(id);
    control.value = value;
    control.dispatchEvent(new Event(event, {bubbles: true}));
  };
  const act = new Function('set', 'n', action);
  const times = [];
  for (let n = 0; n < count; n++) {
    const begin = performance.now();
    act(set, n);
    await null; await null; await null; await null;
    document.getElementById('browser-panes').getBoundingClientRect();
    times.push(performance.now() - begin);
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  }
  return times;
}"""


def browse(path: Path) -> dict[str, float]:
    """Opens the page in Chromium; nothing where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {}
    import shutil

    with sync_playwright() as driver:
        installed = shutil.which('chromium') or driver.chromium.executable_path
        if not Path(installed).exists():
            return {}
        browser = driver.chromium.launch(executable_path=installed, args=['--no-sandbox', '--disable-gpu'])
        # The policy of the page forbids what makes functions of texts, as this measurement does.
        shown = browser.new_context(bypass_csp=True, viewport={'width': 1440, 'height': 900}).new_page()
        shown.goto(path.as_uri(), timeout=120_000)
        shown.wait_for_selector('#browser.ready', timeout=120_000)
        found = {
            'paint_ms': shown.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"),
            'ready_ms': shown.evaluate("performance.getEntriesByName('browser-ready')[0].startTime"),
        }
        profiler = shown.context.new_cdp_session(shown)
        profiler.send('Performance.enable', {'timeDomain': 'threadTicks'})

        def busy() -> float:
            metrics = profiler.send('Performance.getMetrics')['metrics']
            return 1000 * next(each['value'] for each in metrics if each['name'] == 'TaskDuration')

        for name, (count, action) in ACTIONS.items():
            before, times = busy(), shown.evaluate(MEASURE, [count, action])
            processor = (busy() - before) / count
            found |= {name: max(times), f'{name}_median': float(np.median(times)), f'{name}_processor': processor}
        browser.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog='python -m benchmarks.page')
    parser.add_argument('--examples', type=int, default=1000)
    parser.add_argument('--tokens', type=int, default=300)
    parser.add_argument('--keep', type=Path, help='folder for the workdir; default: a temporary one')
    parser.add_argument('--build', type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.build:
        print(json.dumps(build(asked.build)))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary) / 'workdir'
        if not folder.exists():
            make(folder, asked.examples, asked.tokens)
        # A process of its own, whose peak of memory is that of the page alone.
        command = [sys.executable, '-m', 'benchmarks.page', f'--build={folder}']
        built = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = json.loads(built.splitlines()[-1]) | browse((folder / 'report' / 'index.html').resolve())
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))
    failed = [name for name, limit in AT_MOST.items() if found.get(name, 0) > limit]
    if failed:
        print(f'not met: {", ".join(failed)}', file=sys.stderr)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
