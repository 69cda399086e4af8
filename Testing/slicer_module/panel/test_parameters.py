"""The parameter node: its defaults, its limits, and its words, which are the worker's."""

import pytest

from ccella_core import limits
from ccella_core.client.protocol import SCHEDULERS


@pytest.fixture
def parameters(slicer_bench):
    import slicer
    from CCELLAGeneratorLib.panel.parameters import CCELLAGeneratorParameterNode

    return CCELLAGeneratorParameterNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"))


def test_begins_with_what_needs_no_thought(parameters):
    assert (parameters.report, parameters.model, parameters.device) == ("", "ccella-demo", "auto")
    assert (parameters.count, parameters.newSeed, parameters.steps, parameters.guidance) == (1, True, 0, 1.0)
    assert parameters.pathology.value is None and parameters.scheduler.value is None
    assert parameters.realScan is None and parameters.outputVolume is None and parameters.result is None


def test_schedulers_are_the_worker_s(slicer_bench):
    from CCELLAGeneratorLib.panel.parameters import SchedulerChoice

    assert tuple(scheduler.value for scheduler in SchedulerChoice if scheduler.value is not None) == SCHEDULERS
    assert len({scheduler.label() for scheduler in SchedulerChoice}) == len(SchedulerChoice)


def test_pathologies_are_the_worker_s(slicer_bench):
    from CCELLAGeneratorLib.panel.parameters import PathologyChoice

    assert [pathology.value for pathology in PathologyChoice] == [None, "negative", "positive"]


def test_limits_are_the_worker_s_and_qt_s(slicer_bench):
    from CCELLAGeneratorLib.panel import parameters

    assert parameters.LIMITS is limits
    assert parameters.MAX_SEED + limits.MAX_COUNT - 1 <= 2**31 - 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("count", 0), ("count", 65), ("seed", -1), ("seed", 2**31), ("steps", 1001), ("guidance", 0.5), ("guidance", 11)],
)
def test_refuses_what_the_worker_would_refuse(parameters, name, value):
    before = getattr(parameters, name)
    with pytest.raises(ValueError):
        setattr(parameters, name, value)
    assert getattr(parameters, name) == before


def test_a_second_look_at_the_node_sees_the_same(parameters):
    from CCELLAGeneratorLib.panel.parameters import CCELLAGeneratorParameterNode, PathologyChoice, SchedulerChoice

    parameters.report = "Läsion links, 5 mm\nPI-RADS 4"
    parameters.pathology = PathologyChoice.POSITIVE
    parameters.scheduler = SchedulerChoice.DDPM_REFERENCE
    parameters.seed = 2**31 - 64
    again = CCELLAGeneratorParameterNode(parameters.parameterNode)
    assert again.report == "Läsion links, 5 mm\nPI-RADS 4"
    assert (again.pathology, again.scheduler, again.seed) == (
        PathologyChoice.POSITIVE,
        SchedulerChoice.DDPM_REFERENCE,
        2**31 - 64,
    )
