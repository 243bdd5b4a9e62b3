from jaxshift.report import wording


def test_numbers_are_written_plainly():
    assert [wording.number(v) for v in (None, 0.125, 0.3, 100.0, 12345.6, 10_752, 0, 1e-5, 0.3 - 0.1 - 0.2)] == [
        '–', '0.125', '0.300', '100', '12,346', '10,752', '0', '1.00e-05', '0.00',
    ]  # fmt: skip


def test_one_thing_is_no_plural():
    assert [wording.counted(n, 'run') for n in (0, 1, 2, 1000)] == ['0 runs', '1 run', '2 runs', '1,000 runs']
