"""What is told at the end of a study: how far each run shifted."""

from __future__ import annotations

from jaxshift.report import shifts
from jaxshift.shift import summary
from jaxshift.study import Study
from jaxshift.terminal import table


def tell(study: Study) -> None:
    """Prints a line for each run of the workdir that has been compared, of the windows that the report shows."""
    paths = {name: study.workdir.run(name) / 'summary.json' for name in study.experiment.runs}
    summaries = {name: summary.read(path) for name, path in paths.items() if path.exists()}
    if summaries:
        windows = summary.headline(summaries.values())
        study.say(shifts.title('each run', [windows]))
        table(shifts.of_runs(summaries, windows))
