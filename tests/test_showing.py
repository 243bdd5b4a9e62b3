"""`--mode=show_data`: what is printed, what the page holds, and that texts of strangers do nothing."""

import io
import json
from html.parser import HTMLParser

import pytest
import transformers
from commandline import COMPARE, ROOT, TINY, start
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from jaxshift import lines, showing

TRAIN = f'--config={ROOT / "configs/smollm2_135m.py"}'
HOSTILE = '\x1b]0;owned\x07\x1b[31m<script>alert(1)</script>\u202e\u2028\r\b\x9b31m'
RECORDS = [
    {'instruction': 'Say it', 'output': '您好\nok'},
    {'instruction': HOSTILE, 'output': 'no "onload=1" </div>'},
    {'instruction': 'long', 'output': 'x' * 400},
    {'instruction': 'bad', 'output': 5},
    *({'instruction': f'more {number}', 'output': 'yes'} for number in range(4)),
]


class Terminal(io.StringIO):
    encoding = 'utf-8'

    def isatty(self):
        return True


class Page(HTMLParser):
    """The tags of a page, and the text of its tokens by class."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.tokens, self.attributes, self._class = [], [], set(), None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self._class = dict(attrs).get('class')
        if tag == 'span' and 'title' in dict(attrs):
            self.tokens.append([self._class, ''])

    def handle_data(self, data):
        if self._class in ('masked', 'trained') and self.tokens:
            self.tokens[-1][1] += data

    def handle_endtag(self, tag):
        self._class = None


@pytest.fixture(scope='module')
def base(torch_llama, tmp_path_factory):
    """A model whose tokens are bytes."""
    folder = tmp_path_factory.mktemp('bytes')
    names = [*sorted(pre_tokenizers.ByteLevel.alphabet()), '<s>', '</s>']
    backend = Tokenizer(models.BPE({piece: index for index, piece in enumerate(names)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    torch_llama(vocab_size=len(names), bos_token_id=256, eos_token_id=257).save_pretrained(folder)
    marks = {'bos_token': '<s>', 'eos_token': '</s>'}
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **marks).save_pretrained(folder)
    return folder


@pytest.fixture(scope='module')
def show(base, tmp_path_factory):
    data = tmp_path_factory.mktemp('data') / 'a.json'
    data.write_text(json.dumps(RECORDS))

    def begin(*more: str):
        return start(
            TRAIN, f'--config.base.source=dir:{base}', f'--config.data.source=file:{data}', '--mode=show_data',
            '--config.data.max_length=192', '--config.data.on_bad_record=skip', f'--workdir={data.parent}', *more,
        )  # fmt: skip

    return begin, data.parent / 'report/show_data.html'


@pytest.fixture(scope='module')
def shown(show):
    ended = show[0]('--config.runs.full.pack=True')
    assert ended.code == 0, ended.err
    return ended.out, show[1].read_text(encoding='utf-8')


def test_every_token_stands_under_masked_or_trained(shown):
    first = shown[0].partition('\nexample 0: ')[2].partition('\nexample')[0].splitlines()
    asked = '<s>│' + '│'.join('Human: Say it') + '│⏎│'
    assert first[0] == '36 tokens, 10 trained'  # a token each byte of the answer, and the end
    assert first[1:3] == [f'masked   {asked}', f'         {"│".join("Assistant: ")}│']
    assert first[3:] == ['trained  您│││好│││⏎│', '         o│k│</s>│']


def test_the_page_has_the_same_tokens(shown):
    page = Page(shown[1])
    first = page.tokens[:36]
    assert ''.join(text for _, text in first) == '<s>Human: Say it⏎\nAssistant: 您好⏎\nok</s>'
    assert [kind for kind, _ in first] == ['masked'] * 26 + ['trained'] * 10


def test_what_was_cut_and_refused_is_counted_and_named(shown):
    for text in shown:
        assert '7 rows, ' in text
        assert '1 cut at 192 tokens, 1 refused' in text
        assert '1 refused: output: is a number, not a text' in text
        assert 'a.json: record 3 (the first is 0)' in text
        assert '192 tokens, as many as data.max_length allows' in text
        assert 'full: several examples in a row, without attention between them' in text


def test_a_base_of_the_hub_is_shown_without_its_weights(show, base, tmp_path, monkeypatch):
    import huggingface_hub

    asked = []

    def fetched(name, allow_patterns, **_):
        asked.append(allow_patterns)
        return str(base)

    monkeypatch.setattr(huggingface_hub, 'snapshot_download', fetched)
    ended = show[0]('--config.base.source=hf:OWNER/NAME', f'--workdir={tmp_path}')
    assert ended.code == 0, ended.err
    assert asked
    assert not any('safetensors' in pattern for patterns in asked for pattern in patterns)


def test_a_first_start_that_was_refused_leaves_no_experiment_that_the_next_would_take(show, tmp_path):
    command = f'--config={ROOT / "configs/smollm2_135m.py"}', '--mode=show_data', f'--workdir={tmp_path}'
    refused = start(*command, '--config.data.source=file:nothere.json')
    assert 'nothere.json does not exist' in refused.error()
    assert not (tmp_path / 'experiment.json').exists()
    assert 'nothere.json' not in start(*command).err


def test_only_the_first_examples_are_shown(shown):
    assert shown[0].count('\nexample ') == shown[1].count('<h3>') == showing.FIRST < 7


def test_nothing_of_the_data_commands_a_terminal(shown):
    text, _ = shown
    assert lines.inert(text) == text
    assert r'\x1b│]│0│;│o│w│n│e│d│\x07│' in text
    assert r'\u202e│││\u2028│││↵│\x08│' in text


def test_joiners_of_letters_and_emoji_are_no_commands():
    assert lines.inert('سلام\u200cها 👨\u200d👩\u202e\u2066') == 'سلام\u200cها 👨\u200d👩\\u202e\\u2066'


def test_nothing_of_the_data_is_markup_of_the_page(shown):
    page = Page(shown[1])
    assert {'script', 'img', 'iframe', 'link'}.isdisjoint(page.tags)
    assert not {name for name in page.attributes if name.startswith('on')}
    assert lines.inert(shown[1]) == shown[1]
    assert '<script>alert(1)</script>' in ''.join(text for _, text in page.tokens)
    assert page.tags.count('div') == showing.FIRST


def test_a_terminal_has_colours_beside_the_names_and_no_command_of_the_data(show, monkeypatch):
    monkeypatch.setenv('TERM', 'xterm-256color')
    monkeypatch.delenv('NO_COLOR', raising=False)
    terminal = Terminal()
    monkeypatch.setattr(io, 'StringIO', lambda: terminal)
    assert show[0]().code == 0
    text = terminal.getvalue()
    assert '\x1b[32mtrained  您│││好│││⏎│\x1b[0m' in text
    assert '\x1b[2mmasked   <s>│' in text
    for command in ('\x1b]', '\x1b[31m', '\x07', '\u202e', '\x9b'):
        assert command not in text


def test_a_terminal_that_has_only_ascii_gets_other_marks():
    tokens = [showing.Token('a b', 1, 'masked'), showing.Token('\n\n', 2, 'masked'), showing.Token('c\t', 3, 'trained')]
    found = showing.marked(tokens, *showing._marks('ascii'), 80)
    assert [line for _, line in found] == [
        r'masked   a b|\n', r'         \n|', r'trained  c\t|',
    ]  # fmt: skip


def test_lines_are_as_wide_as_the_terminal_and_keep_every_token():
    tokens = [showing.Token('一二三', 0, 'trained')] * 9 + [showing.Token('w' * 70, 0, 'trained')]
    found = [line for _, line in showing.marked(tokens, *showing._marks('utf-8'), 40)]
    assert max(map(lines.cell_len, found)) <= 40
    assert ''.join(line[9:] for line in found) == '一二三│' * 9 + 'w' * 70 + '│'


def test_a_study_without_data_has_nothing_to_show(base, tmp_path):
    (tmp_path / 'asked.json').write_text('[{"instruction": "Say it"}]')
    models = f'--config.base.source=dir:{base}', f'--config.runs.tuned.source=dir:{base}'
    prompts = f'--config.prompts.source=file:{tmp_path}/asked.json'
    ended = start(COMPARE, *models, prompts, '--mode=show_data', f'--workdir={tmp_path}')
    assert ended.error() == 'error: no instruction data to show: set config.data.source, for example file:DATA.json'


def test_the_report_leaves_the_page_of_the_data_alone(copy):
    asked = (*TINY, f'--workdir={copy}')
    page = copy / 'report/show_data.html'
    shown = start(*asked, '--mode=show_data')
    assert shown.code == 0, shown.err
    assert 'data, for lora, full: 24 rows' in shown.out
    before = page.read_bytes()
    assert 'report: done before' in start(*asked, '--mode=report').out
    page.write_bytes(before + b' ')  # no file of the report
    assert 'report: done before' in start(*asked, '--mode=report').out
    again = start(*asked, '--mode=report', '--config.name=Another')
    assert 'report: done before' not in again.out
    assert page.read_bytes() == before + b' '
