"""Tasks of lm-evaluation-harness on data of one's own."""

import json

WORDS = (
    'the', 'of', 'is', 'in', 'to', 'a', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'red', 'blue', 'green',
    'sun', 'moon', 'sea', 'hill', 'tree', 'bird', 'lake',
)  # fmt: skip
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{{ 'one ' if m.role == 'user' else 'two ' }}{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'two ' }}{% endif %}"
)
TASK = """
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
fewshot_split: test
"""
CHOICE = """
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: gold
metric_list:
  - metric: acc
  - metric: acc_norm
"""
ROLLING = """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
  - metric: word_perplexity
"""
GENERATE = """
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{text}}"
generation_kwargs:
  until: ["red", "sea tree"]
  max_gen_toks: 12
metric_list:
  - metric: exact_match
"""


def write_task(folder, name, kind, records):
    data = folder / f'{name}.json'
    data.write_text(json.dumps(records))
    path = folder / f'{name}.yaml'
    path.write_text(TASK.format(name=name, data=data) + kind)
    return path
