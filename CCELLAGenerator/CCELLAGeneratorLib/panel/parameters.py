# ruff: noqa: N815 - parameters are named as Slicer names them
"""What the panel's widgets hold: one typed parameter node in the scene, saved and restored with it."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, get_type_hints

from slicer import vtkMRMLMarkupsFiducialNode, vtkMRMLNode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from ..client.command import shared_limits
from .widgets import ChoiceConnector, PlainTextConnector

DEFAULT_MODEL = "ccella-demo"
AUTOMATIC_DEVICE = "auto"
MODELS_OWN_STEPS = 0
MODELS_OWN_GUIDANCE = 0.0
LIMITS = shared_limits()
MAX_SEED = 2**31 - LIMITS.MAX_COUNT
"""What a spin box can hold, also for the last volume of a run. Scripts may use seeds up to 2**63 - 1."""
MAX_GUIDANCE = 20.0
CROP_MM = (128.0, 128.0, 64.0)
"""What is kept around the gland: the field of view of the published CCELLA model."""
MAX_ADC = 5000
"""In 10⁻⁶ mm²/s, as the ends of the ADC's window are; free water has 3000."""
MAX_RADIUS_MM = 60.0
MIN_STRENGTH = 0.05


class PathologyChoice(Enum):
    """The value is what the worker calls it."""

    FROM_REPORT = None
    NEGATIVE = "negative"
    POSITIVE = "positive"

    def label(self) -> str:
        """What the user reads."""
        return {
            PathologyChoice.FROM_REPORT: _("As the report says"),
            PathologyChoice.NEGATIVE: _("Negative (PI-RADS 1–2)"),
            PathologyChoice.POSITIVE: _("Positive (PI-RADS 3–5)"),
        }[self]


class SchedulerChoice(Enum):
    """The value is what the worker calls it."""

    MODELS_OWN = None
    DPM_SOLVER = "dpm++"
    SDE_DPM_SOLVER = "sde-dpm++"
    UNIPC = "unipc"
    DDIM = "ddim"
    DDPM = "ddpm"
    DDPM_REFERENCE = "ddpm-reference"
    RFLOW = "rflow"

    def label(self) -> str:
        """What the user reads."""
        return {
            SchedulerChoice.MODELS_OWN: _("The model's own"),
            SchedulerChoice.DPM_SOLVER: "DPM-Solver++",
            SchedulerChoice.SDE_DPM_SOLVER: "SDE-DPM-Solver++",
            SchedulerChoice.UNIPC: "UniPC",
            SchedulerChoice.DDIM: "DDIM",
            SchedulerChoice.DDPM: "DDPM",
            SchedulerChoice.DDPM_REFERENCE: _("DDPM as published (needs 1000 steps)"),
            SchedulerChoice.RFLOW: _("NVIDIA's rectified flow (for their model alone)"),
        }[self]


class SequenceChoice(Enum):
    """Of a model that draws one sequence at a time. The value is what the worker calls it."""

    MODELS_OWN = None
    T2W = "t2w"
    HBV = "hbv"
    ADC = "adc"

    def label(self) -> str:
        """What the user reads."""
        return {
            SequenceChoice.MODELS_OWN: _("The model's own"),
            SequenceChoice.T2W: "T2",
            SequenceChoice.HBV: "DWI",
            SequenceChoice.ADC: "ADC",
        }[self]


@parameterNodeWrapper
class CCELLAGeneratorParameterNode:
    """``model`` and ``device`` are the worker's names for them; steps and guidance 0: the model's own.

    ``realAdc`` and ``realHighB`` go with ``realScan``; where they are not chosen, they are looked for.
    ``editRadius`` in mm, 0: as the composer's lesion is large.
    """

    report: str = ""
    pathology: PathologyChoice = PathologyChoice.FROM_REPORT
    sequence: SequenceChoice = SequenceChoice.MODELS_OWN
    crop: bool = False
    model: str = DEFAULT_MODEL
    realScan: vtkMRMLScalarVolumeNode
    count: Annotated[int, WithinRange(1, LIMITS.MAX_COUNT)] = 1
    newSeed: bool = True
    seed: Annotated[int, WithinRange(0, MAX_SEED)] = 0
    steps: Annotated[int, WithinRange(0, LIMITS.MAX_STEPS)] = MODELS_OWN_STEPS
    scheduler: SchedulerChoice = SchedulerChoice.MODELS_OWN
    guidance: Annotated[float, WithinRange(0.0, MAX_GUIDANCE)] = MODELS_OWN_GUIDANCE
    device: str = AUTOMATIC_DEVICE
    outputVolume: vtkMRMLScalarVolumeNode
    realAdc: vtkMRMLScalarVolumeNode
    realHighB: vtkMRMLScalarVolumeNode
    adcLow: Annotated[int, WithinRange(0, MAX_ADC)] = 0
    adcHigh: Annotated[int, WithinRange(0, MAX_ADC)] = 2000
    result: vtkMRMLScalarVolumeNode
    editScan: vtkMRMLScalarVolumeNode
    editPoint: vtkMRMLMarkupsFiducialNode
    editSegmentation: vtkMRMLSegmentationNode
    editRadius: Annotated[float, WithinRange(0.0, MAX_RADIUS_MM)] = 0.0
    editStrength: Annotated[float, WithinRange(MIN_STRENGTH, 1.0)] = 1.0


NODE_PARAMETERS = tuple(
    name
    for name, kind in get_type_hints(CCELLAGeneratorParameterNode).items()
    if isinstance(kind, type) and issubclass(kind, vtkMRMLNode)
)


def forget_node(parameters: CCELLAGeneratorParameterNode, node: vtkMRMLNode) -> None:
    """Set every parameter that is this node to None.

    To be called before the node leaves the scene: a node selector whose current node is removed moves on to another
    one, and would take the parameter along to a volume that nobody chose.
    """
    for name in NODE_PARAMETERS:
        if getattr(parameters, name) is node:
            setattr(parameters, name, None)


OWN_CONNECTORS = {"report": PlainTextConnector, "model": ChoiceConnector, "device": ChoiceConnector}
"""For the widgets that Slicer has no connector for."""


def connect_widgets(parameters: CCELLAGeneratorParameterNode, ui: Any) -> int:
    """Bind every widget that names a parameter in its property ``SlicerParameterName``.

    Slicer's ``connectGui`` does the same but keeps the tag to itself, and without it nothing can be disconnected.

    Returns:
        The tag for ``parameters.disconnectGui``.
    """
    widgets = {name: widget for widget in vars(ui).values() if (name := widget.property("SlicerParameterName"))}
    own = {name: connector(widgets[name]) for name, connector in OWN_CONNECTORS.items()}
    return parameters.connectParametersToGui({**widgets, **own})
