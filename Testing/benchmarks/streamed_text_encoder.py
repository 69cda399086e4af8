"""The memory that a text encoder takes whole, and read from the disk a layer at a time.

    python Testing/benchmarks/streamed_text_encoder.py [--layers 5] [--tokens 512] [--folder FOLDER] [--whole]

Makes up a T5 with layers and vocabulary as large as FLAN-T5-XXL's (4096 wide, 10240 in between; 24 layers there), in
bfloat16, and encodes a report with it in processes of their own, whose largest resident memory is measured. What is
streamed does not depend on the number of layers; ``--whole`` loads all of them for comparison, in float32.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import T5Config

from ccella_core.generation.text_encoder import ReportEncoder
from ccella_core.limits import GIB
from ccella_core.models.search import shipped_models_dir

REPORT = "A PI-RADS 4 lesion in the left peripheral zone at mid-gland, 14 mm."
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def make_up(folder: Path, layers: int) -> None:
    """Write the encoder, a layer at a time, with weights that neither vanish nor overflow."""
    folder.mkdir(parents=True)
    config = T5Config(vocab_size=32128, d_model=4096, d_kv=64, d_ff=10240, num_layers=layers, num_heads=64,
                      feed_forward_proj="gated-gelu", pad_token_id=0)  # fmt: skip
    config.save_pretrained(folder)
    for file in (shipped_models_dir() / "ccella-demo" / "tokenizer").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    width, between = config.d_model, config.d_ff
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        values = torch.empty(shape, dtype=torch.bfloat16)
        return values.normal_(0, (1 / shape[-1]) ** 0.5, generator=generator)

    def keep(name: str, tensors: dict[str, torch.Tensor]) -> None:
        save_file(tensors, folder / f"{name}.safetensors", metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(tensors, f"{name}.safetensors"))

    weight_map: dict[str, str] = {}
    keep("words", {"shared.weight": drawn(config.vocab_size, width)})
    for number in range(layers):
        block = f"encoder.block.{number}.layer"
        tensors = {f"{block}.0.SelfAttention.{name}.weight": drawn(width, width) for name in "qkvo"}
        tensors |= {f"{block}.1.DenseReluDense.{name}.weight": drawn(between, width) for name in ("wi_0", "wi_1")}
        tensors[f"{block}.1.DenseReluDense.wo.weight"] = drawn(width, between)
        for part in (0, 1):
            tensors[f"{block}.{part}.layer_norm.weight"] = torch.ones(width, dtype=torch.bfloat16)
        if number == 0:
            tensors[f"{block}.0.SelfAttention.relative_attention_bias.weight"] = drawn(32, config.num_heads)
        keep(f"layer-{number:02d}", tensors)
    keep("norm", {"encoder.final_layer_norm.weight": torch.ones(width, dtype=torch.bfloat16)})
    content = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content), encoding="utf-8")


def encode(folder: Path, tokens: int, *, stream: bool, out: Path) -> None:
    """Encode the report in this process and print what it took."""
    started = time.monotonic()
    encoder = ReportEncoder.from_pretrained(folder, max_tokens=tokens, stream=stream)
    torch.save(encoder.encode([REPORT]), out)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / GIB
    print(json.dumps({"peak_gib": peak, "seconds": time.monotonic() - started}))


def main() -> None:
    """Make the encoder where there is none, measure, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--child", choices=["streamed", "whole"])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.child is not None:
        encode(arguments.folder, arguments.tokens, stream=arguments.child == "streamed", out=arguments.out)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary) / "t5"
        if not folder.exists():
            make_up(folder, arguments.layers)
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / GIB
        print(f"{size:.2f} GiB on the disk, {arguments.layers} layers, {arguments.tokens} tokens")
        results = {}
        for kind in ("streamed", *(["whole"] if arguments.whole else [])):
            out = Path(temporary) / f"{kind}.pt"
            command = [sys.executable, __file__, "--child", kind, "--folder", str(folder), "--out", str(out),
                       "--tokens", str(arguments.tokens)]  # fmt: skip
            said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            results[kind] = torch.load(out, weights_only=True)
            print(f"{kind}: {said['peak_gib']:.2f} GiB at most, {said['seconds']:.0f} s")
        if arguments.whole:
            difference = (results["streamed"] - results["whole"]).abs().max() / results["whole"].abs().max()
            print(f"largest difference: {float(difference):.1e} of the largest value")


if __name__ == "__main__":
    main()
