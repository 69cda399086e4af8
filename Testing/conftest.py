"""What every test may ask for: the reference numbers and the weights that they were computed with.

``Testing/data/reference/README.md`` states the rule by which anybody can draw the same weights and inputs.
"""

from __future__ import annotations

import copy
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

import pytest
import torch

if TYPE_CHECKING:
    from ccella_core.generation.pipeline import CCELLAPipeline
    from ccella_core.networks import ConditionalDenoiser

sys.path.append(str(Path(__file__).parent))  # patience

# The tests run in one process a core; threads beside them, and of what they start, would only wait for each other.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")

REFERENCE_FOLDER = Path(__file__).parent / "data" / "reference"
TOOLS_FOLDER = Path(__file__).parents[1] / "docs" / "tools"


def _draw(name: str, shape: tuple[int, ...] | torch.Size, scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.randn(tuple(shape), generator=generator) * scale


def _draw_weights(model: torch.nn.Module, rename: Callable[[str], str] = lambda name: name) -> torch.nn.Module:
    with torch.no_grad():
        for own_name, parameter in model.named_parameters():
            name = rename(own_name)
            if parameter.ndim >= 2:
                fan = max(1, parameter[0].numel())
                value = _draw(name, parameter.shape, (1 / fan) ** 0.5)
            else:
                value = _draw(name, parameter.shape, 0.1) + (1.0 if name.endswith("weight") else 0.0)
            parameter.copy_(value)
    return model.eval()


class DrawWeights(Protocol):
    def __call__(self, model: torch.nn.Module, rename: Callable[[str], str] = ...) -> torch.nn.Module: ...


@pytest.fixture(scope="session", autouse=True)
def _folders_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes what this user keeps, nor what another process of the tests keeps at the same time."""
    fonts = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "matplotlib"
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", os.environ.get("MPLCONFIGDIR", str(fonts)))  # listing the fonts takes seconds
        for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
            patch.setenv(name, str(home / name))
        patch.delenv("CCELLA_HOME", raising=False)
        yield


@pytest.fixture(scope="session")
def reference_folder() -> Path:
    """The folder with the reference's .npz and .json files; the published copy of the repository leaves it out."""
    if not REFERENCE_FOLDER.is_dir():
        pytest.skip("the reference numbers in Testing/data are not in this copy of the repository")
    return REFERENCE_FOLDER


@pytest.fixture(scope="session")
def docs_tool() -> Callable[[str], ModuleType]:
    """Loads a script of ``docs/tools`` by its name without the ending."""

    def load(name: str) -> ModuleType:
        spec = spec_from_file_location(name, TOOLS_FOLDER / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = module_from_spec(spec)
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(TOOLS_FOLDER)  # as where it is started as a script: it may import its neighbours
            patch.setitem(sys.modules, name, module)  # where its classes look for what their annotations name
            spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def draw() -> Callable[..., torch.Tensor]:
    """``draw(name, shape, scale=1.0)``: the reference's normal noise of that name."""
    return _draw


@pytest.fixture(scope="session")
def draw_weights() -> DrawWeights:
    """``draw_weights(model, rename)``: fill ``model`` by the reference's rule and return it in evaluation mode.

    ``rename`` turns a parameter's own name into the published one (``state_dict_tiny.json``); by default the same.
    """
    return _draw_weights


@pytest.fixture(scope="session")
def modality_model(draw: Callable[..., torch.Tensor], draw_weights: DrawWeights) -> ConditionalDenoiser:
    """The tiny network of ``data/reference/nv_rflow_mr``, with its weights."""
    from ccella_core.networks import ConditionalDenoiser, DenoiserConfig, UNetConfig
    from ccella_core.networks.published import published_name

    unet = UNetConfig(
        num_channels=(32, 32, 64, 64),
        num_res_blocks=1,
        modality_labels=128,
        residual_resampling=True,
        attention_projection=True,
    )
    model = ConditionalDenoiser(DenoiserConfig(variant="modality", unet=unet, adapter=None))
    draw_weights(model, lambda name: published_name(name, "modality"))
    with torch.no_grad():  # the reference draws it with scale 1, so that the label shows
        model.unet.class_embedding.weight.copy_(draw("class_embedding.weight", (128, 128)))
    return model


TINY_REPORTS = [
    "The prostate is enlarged. No suspicious lesion is seen.",
    "IMPRESSION: PI-RADS 4 lesion in the left apex.",
]


@pytest.fixture(scope="session")
def tiny_pipeline(tmp_path_factory: pytest.TempPathFactory) -> CCELLAPipeline:
    """A whole model of a million weights, drawn by the reference's rule, that was saved and loaded again."""
    from ccella_core.generation.pipeline import CCELLAPipeline

    pipeline = build_tiny_pipeline()
    model = pipeline.save_pretrained(tmp_path_factory.mktemp("models") / "tiny")
    return CCELLAPipeline.from_pretrained(model.path, device="cpu", dtype="float32")


@pytest.fixture
def own_pipeline(tiny_pipeline: CCELLAPipeline) -> CCELLAPipeline:
    """The same networks for a test that saves them, after which a pipeline names the saved model's hash."""
    return copy.copy(tiny_pipeline)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model of ``tiny_pipeline``; tests that alter it work on a copy."""
    return build_tiny_pipeline().save_pretrained(tmp_path_factory.mktemp("models") / "tiny").path


@pytest.fixture(scope="session")
def labelled_pipeline(labelled_model: Path) -> CCELLAPipeline:
    """The same with three sequences, and labels of gland and lesion."""
    from ccella_core.generation.pipeline import CCELLAPipeline

    return CCELLAPipeline.from_pretrained(labelled_model, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def labelled_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model of ``labelled_pipeline``."""
    return build_tiny_pipeline(labelled=True).save_pretrained(tmp_path_factory.mktemp("models") / "labelled").path


def build_tiny_pipeline(*, labelled: bool = False) -> CCELLAPipeline:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    from ccella_core.generation.pipeline import CCELLAPipeline
    from ccella_core.generation.sampling.schedulers import SchedulerConfig
    from ccella_core.generation.text_encoder import ReportEncoder
    from ccella_core.models.model import ModelIndex
    from ccella_core.networks import (
        AdapterConfig,
        AutoencoderConfig,
        ConditionalDenoiser,
        DenoiserConfig,
        UNetConfig,
        build_autoencoder,
    )

    max_tokens = 16
    words = Tokenizer(models.WordLevel(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.train_from_iterator(TINY_REPORTS, trainers.WordLevelTrainer(special_tokens=["<pad>", "</s>", "<unk>"]))
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=max_tokens
    )
    t5 = T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu")
    denoiser = DenoiserConfig(
        unet=UNetConfig(
            latent_channels=20 if labelled else 4,
            num_channels=(32, 32),
            attention_levels=(False, True),
            num_head_channels=(0, 32),
            num_res_blocks=1,
            norm_num_groups=8,
        ),
        adapter=AdapterConfig(
            text_width=t5.d_model, width=32, num_latents=8, layers=2, heads=2, time_channels=16, class_hidden=8
        ),
    )
    autoencoder = AutoencoderConfig(num_channels=(8, 16, 16), num_res_blocks=(1, 1, 1), norm_num_groups=4)
    return CCELLAPipeline(
        denoiser=_draw_weights(ConditionalDenoiser(denoiser)),  # type: ignore[arg-type]
        autoencoder=_draw_weights(build_autoencoder(autoencoder)),  # type: ignore[arg-type]
        autoencoder_config=autoencoder,
        scheduler_config=SchedulerConfig(),
        encoder=ReportEncoder(_draw_weights(T5EncoderModel(t5)), tokenizer, max_tokens=max_tokens),  # type: ignore[arg-type]
        index=ModelIndex(
            name="labelled" if labelled else "tiny",
            version="1",
            licence="Apache-2.0",
            intended_use="tests",
            description="random weights",
            variant=denoiser.variant,
            sequences=["t2w", "hbv", "adc"] if labelled else ["t2w"],
            labels=["gland", "lesion"] if labelled else [],
            native_shape=(16, 16, 8),
            native_spacing_mm=(1.0, 1.0, 3.0),
            intensity_range={"t2w": (0.0, 1.0)} | ({"hbv": (0.0, 1.0), "adc": (0.0, 3000.0)} if labelled else {}),
            latent_scale_factor=(1.0, 0.9, 1.1, 1.0, 0.8) if labelled else 1.0,
            max_report_tokens=max_tokens,
            default_scheduler="dpm++",
            default_num_inference_steps=2,
            trained_on="nothing",
            training={},
            components={},
        ),
        device="cpu",
        dtype="float32",
    )


@pytest.fixture(autouse=True)
def _precision_of_its_own() -> Iterator[None]:
    """Accelerate keeps the first precision of a process; no test hands its own on to the next."""
    yield
    if (state := sys.modules.get("accelerate.state")) is not None:
        state.AcceleratorState._reset_state()
