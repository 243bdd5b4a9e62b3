from jaxshift.store import metrics
from jaxshift.store.metrics import Metrics


def written(folder, start, steps):
    log = Metrics(folder, start)
    for step in steps:
        log.write(step, {'loss': 1.0 / step, 'at': float(start)})
    log.close()
    return metrics.read(folder / 'metrics.jsonl')


def test_rows_hold_the_step_and_its_values(tmp_path):
    assert written(tmp_path, 0, [1, 2])[1] == {'step': 2, 'loss': 0.5, 'at': 0.0}
    assert [path.name.startswith('events.') for path in (tmp_path / 'tensorboard').iterdir()] == [True]


def test_rows_beyond_the_step_of_a_restart_are_dropped(tmp_path):
    written(tmp_path, 0, [1, 2, 3, 4])
    rows = written(tmp_path, 2, [3, 5])
    assert [(row['step'], row['at']) for row in rows] == [(1, 0.0), (2, 0.0), (3, 2.0), (5, 2.0)]


def test_a_cut_off_last_line_is_left_out_and_mended(tmp_path):
    written(tmp_path, 0, [1, 2])
    path = tmp_path / 'metrics.jsonl'
    path.write_text(path.read_text()[:-5])
    assert [row['step'] for row in metrics.read(path)] == [1]
    assert [row['step'] for row in written(tmp_path, 2, [3])] == [1, 3]


def test_no_file_is_no_row(tmp_path):
    assert metrics.read(tmp_path / 'metrics.jsonl') == []
