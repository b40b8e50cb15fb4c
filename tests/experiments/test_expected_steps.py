"""What a measurement is expected to do is what it then reports, in that order."""

import pytest

from llmrank.experiments import settings
from llmrank.experiments.expected_steps import measuring_steps
from llmrank.experiments.pipeline import Pipeline
from llmrank.experiments.run import run


@pytest.mark.parametrize("repair", ["none", "least-squares"])
@pytest.mark.usefixtures("estimated_memory")
def test_every_expected_step_is_reported_in_its_turn(asked, repair):
    experiment = settings.experiment(settings.applicable(asked | {"repair": repair}))
    pipeline, said = Pipeline(), []
    steps = measuring_steps(experiment, pipeline)
    assert all(step.seconds > 0 for step in steps)
    run(experiment, pipeline=pipeline, progress=lambda what, *_: said.append(what))
    reported = list(dict.fromkeys(said))
    # its memory is estimated here, where a child would report
    expected = [s.what for s in steps if s.what != "Measuring peak memory"]
    assert [what for what in reported if what in expected] == expected
    again = [s.what for s in measuring_steps(experiment, pipeline)]
    assert again == ["Measuring latency", "Measuring the FFN layers", steps[-1].what]
