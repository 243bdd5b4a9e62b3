from jaxshift.store import jsonl
from jaxshift.store.metrics import Metrics


def written(folder, start, steps, rows=()):
    log = Metrics(folder, start, rows)
    for step in steps:
        log.write(step, {'loss': 1.0 / step, 'at': float(start)})
    log.close()
    assert log.rows == jsonl.read(folder / 'metrics.jsonl')
    return log.rows


def test_rows_hold_the_step_and_its_values(tmp_path):
    assert written(tmp_path, 0, [1, 2])[1] == {'step': 2, 'loss': 0.5, 'at': 0.0}
    assert [path.name.startswith('events.') for path in (tmp_path / 'tensorboard').iterdir()] == [True]


def test_a_restart_keeps_the_rows_that_it_is_given_and_no_others(tmp_path):
    rows = written(tmp_path, 0, [1, 2, 3, 4])
    again = written(tmp_path, 2, [3, 5], rows[:2])
    assert [(row['step'], row['at']) for row in again] == [(1, 0.0), (2, 0.0), (3, 2.0), (5, 2.0)]


def test_a_damaged_file_is_written_again(tmp_path):
    rows = written(tmp_path, 0, [1, 2])
    (tmp_path / 'metrics.jsonl').write_text('{"step": 1, "lo\x00')
    assert written(tmp_path, 2, [], rows) == rows


def test_only_process_0_writes(tmp_path, monkeypatch):
    monkeypatch.setattr('jax.process_index', lambda: 1)
    log = Metrics(tmp_path, 0)
    log.write(1, {'loss': 1.0})
    log.close()
    assert list(tmp_path.iterdir()) == []
