"""DINO's and CLIP's embeddings on tiny random transformers models, against the models called directly and transformers' own preparation."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engines.core.errors import MissingExtra, ScdError
from engines.evaluate import subjects
from engines.evaluate.subjects import (
    BATCH,
    SubjectJudge,
    check_sizes,
    judge_of,
    loaded,
    open_subjects,
    preprocessing_in,
    read_preprocessing,
)
from engines.evaluate.weights import Weights, WeightsMissing

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from transformers import (  # noqa: E402
    BitImageProcessorPil,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Dinov2Config,
    Dinov2Model,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "image_size": 32, "patch_size": 8}
IMAGENET = {"do_normalize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
PREPARED: dict[str, dict[str, Any]] = {  # as facebook/dino-vitb16, facebook/dinov2-base and openai/clip-vit-base-patch32, at other sizes
    "vit": {"feature_extractor_type": "ViTFeatureExtractor", "do_resize": True, "size": 32, "resample": 2, **IMAGENET},
    "dinov2": {
        "image_processor_type": "BitImageProcessor", "do_resize": True, "size": {"shortest_edge": 36}, "resample": 3, "do_rescale": True,
        "do_center_crop": True, "crop_size": {"height": 32, "width": 32}, "rescale_factor": 1 / 255, **IMAGENET,
    },
    "clip": {
        "feature_extractor_type": "CLIPFeatureExtractor", "do_resize": True, "size": 32, "resample": 3, "do_normalize": True,
        "do_center_crop": True, "crop_size": 32, "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    },
}  # fmt: skip
PROCESSORS = {"vit": ViTImageProcessorPil, "dinov2": BitImageProcessorPil, "clip": CLIPImageProcessorPil}
KIND = {"vit": "dino", "dinov2": "dino", "clip": "clip"}


def save(folder: Path, model_type: str) -> Path:
    """A folder as transformers saves it; CLIP's with its text half."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if model_type == "vit":
        model = ViTModel(ViTConfig(**SMALL), add_pooling_layer=False)  # DINO's checkpoints have none
    elif model_type == "dinov2":
        model = Dinov2Model(Dinov2Config(**{k: v for k, v in SMALL.items() if k != "intermediate_size"}, mlp_ratio=2))
    else:
        text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 20}
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=SMALL, projection_dim=24))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)  # random pictures would otherwise embed alike
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPARED[model_type]))
    return folder


@pytest.fixture(scope="module", params=["vit", "dinov2", "clip"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp(request.param) / "network", request.param)


def model_type_of(folder: Path) -> str:
    return str(json.loads((folder / "config.json").read_text())["model_type"])


def opened(folder: Path) -> SubjectJudge:
    return judge_of(Weights(KIND[model_type_of(folder)], folder, "0" * 64))


def pictures(count: int, size: tuple[int, int] = (53, 41), seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, size[1], size[0], 3)).astype(np.uint8))


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def directly(folder: Path, frames: list[np.ndarray]) -> np.ndarray:
    """Unit vectors by transformers alone: its own preparation, the whole model, float32, one picture at a time."""
    kind = model_type_of(folder)
    processor = PROCESSORS[kind].from_pretrained(folder)
    model = {"vit": ViTModel, "dinov2": Dinov2Model, "clip": CLIPModel}[kind].from_pretrained(folder).eval()
    out = []
    with torch.no_grad():
        for frame in frames:
            ready = processor(images=Image.fromarray(frame), return_tensors="pt")["pixel_values"]
            if kind == "clip":
                out.append(model.visual_projection(model.vision_model(ready).pooler_output)[0].double().numpy())
            else:
                out.append(model(ready).last_hidden_state[0, 0].double().numpy())
    return unit(np.stack(out))


@pytest.mark.parametrize("size", [(53, 41), (41, 53), (32, 32), (256, 256), (20, 90)])
def test_preparation_is_transformers(folder: Path, size: tuple[int, int]) -> None:
    picture = pictures(1, size)[0]
    own = read_preprocessing(folder)(picture)
    theirs = PROCESSORS[model_type_of(folder)].from_pretrained(folder)(images=Image.fromarray(picture), return_tensors="np")[
        "pixel_values"
    ][0]
    assert own.dtype == np.float32
    assert own.shape == (3, 32, 32)
    np.testing.assert_allclose(own, theirs, atol=1e-5)


def test_embeddings_are_the_models(folder: Path) -> None:
    frames = pictures(BATCH + 3)
    found = opened(folder).embed(frames)
    assert found.dtype == np.float64
    assert found.shape == (BATCH + 3, 24 if model_type_of(folder) == "clip" else 32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(found, directly(folder, frames), atol=2e-6)
    assert opened(folder).embed([]).shape[0] == 0


def test_a_video(folder: Path) -> None:
    """Reference: the cosine; consistency: VBench's mean of max(0, cosine) with the first and the previous frame."""
    reference, *frames = pictures(BATCH + 4)
    judge = opened(folder)
    found = judge.video(reference, iter(frames))
    kind = judge.kind
    assert set(found) == {f"{kind}_reference", f"{kind}_consistency"}
    own, *vectors = directly(folder, [reference, *frames])
    assert found[f"{kind}_reference"] == pytest.approx([float(own @ v) for v in vectors], abs=1e-5)
    steady = [(max(0, vectors[0] @ b) + max(0, a @ b)) / 2 for a, b in pairwise(vectors)]
    assert found[f"{kind}_consistency"][0] is None
    assert found[f"{kind}_consistency"][1:] == pytest.approx(steady, abs=1e-5)
    assert max(steady) < 1 - 1e-5
    assert judge.video(None, frames) == {f"{kind}_consistency": found[f"{kind}_consistency"]}


def test_a_still_video_of_the_reference(folder: Path) -> None:
    judge = opened(folder)
    reference = pictures(1)[0]
    found = judge.video(reference, [reference] * 3)
    assert found[f"{judge.kind}_reference"] == pytest.approx([1] * 3, abs=1e-9)
    assert found[f"{judge.kind}_consistency"] == [None, pytest.approx(1, abs=1e-9), pytest.approx(1, abs=1e-9)]


def test_opposite_frames_are_no_less_than_nothing() -> None:
    """VBench takes a negative cosine for 0; the cosine with the reference stays as it is."""
    plain = preprocessing_in({"do_resize": False, "do_normalize": False})
    judge = SubjectJudge("dino", lambda x: x.mean((2, 3)) - 0.5, plain)
    black, white = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 255, np.uint8)
    found = judge.video(black, [black, white, white])
    assert found["dino_reference"] == pytest.approx([1, -1, -1])
    assert found["dino_consistency"] == [None, 0, pytest.approx(0.5)]


def test_frames_are_taken_batch_by_batch() -> None:
    taken = [0]
    seen: list[int] = []

    def frames() -> Iterator[np.ndarray]:
        for picture in pictures(3 * BATCH):
            taken[0] += 1
            yield picture

    def forward(x: Any) -> Any:
        seen.append(taken[0])
        return x.mean((2, 3)) + 1

    SubjectJudge("clip", forward, preprocessing_in({"do_resize": False, "do_normalize": False})).video(None, frames())
    assert seen == [BATCH, 2 * BATCH, 3 * BATCH]


def test_a_vision_half_of_clip_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(**SMALL, projection_dim=24)).eval()
    model.save_pretrained(tmp_path)
    forward, model_type, size = loaded("clip", tmp_path)
    assert (model_type, size) == ("clip_vision_model", 32)
    ready = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(forward(ready), model(ready).image_embeds)


def test_loading_says_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    loaded(KIND[model_type_of(folder)], folder)
    assert capfd.readouterr() == ("", "")


def test_incomplete_weights(folder: Path, tmp_path: Path) -> None:
    """transformers would fill what is missing with random numbers."""
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    weights = load_file(folder / "model.safetensors")
    dropped = next(k for k in sorted(weights) if "layer" in k and "text" not in k)
    save_file({k: v for k, v in weights.items() if k != dropped}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ScdError, match="lack 1 parts"):
        loaded(KIND[model_type_of(folder)], tmp_path)


@pytest.mark.parametrize("wrong", ["a pickle", "no weights", "broken weights", "another network", "no config"])
def test_folders_that_hold_something_else(folder: Path, tmp_path: Path, wrong: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    kind = KIND[config["model_type"]]
    if wrong == "another network":
        config["model_type"] = "bert"
    if wrong != "no config":
        (tmp_path / "config.json").write_text(json.dumps(config))
    if wrong == "a pickle":
        from safetensors.torch import load_file

        torch.save(load_file(folder / "model.safetensors"), tmp_path / "pytorch_model.bin")
    elif wrong == "broken weights":
        (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ScdError) as caught:
        loaded(kind, tmp_path)
    assert str(tmp_path) in caught.value.message
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_a_size_that_the_network_does_not_take(folder: Path) -> None:
    model_type, preprocessing = model_type_of(folder), read_preprocessing(folder)
    check_sizes(folder, model_type, 32, preprocessing)
    if model_type == "dinov2":
        check_sizes(folder, model_type, 518, preprocessing)  # its places are interpolated
    else:
        with pytest.raises(ScdError, match="32x32 for a network of 64x64"):
            check_sizes(folder, model_type, 64, preprocessing)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"size": "large"}', '{"do_center_crop": true}', '{"image_mean": [0.5], "image_std": [1]}']
)
def test_a_preprocessing_that_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(ScdError, match="preprocessor_config"):
        read_preprocessing(tmp_path)
    with pytest.raises(ScdError, match="preprocessor_config"):
        read_preprocessing(tmp_path / "nowhere")


def test_a_judge_knows_its_weights(folder: Path) -> None:
    judge = opened(folder)
    assert judge.kind == KIND[model_type_of(folder)]
    assert judge.weights == Weights(judge.kind, folder, "0" * 64)


def test_a_folder_among_the_weights(folder: Path, tmp_path: Path) -> None:
    kind = KIND[model_type_of(folder)]
    (tmp_path / kind).symlink_to(folder)
    judge = open_subjects(kind, tmp_path)
    assert judge.weights is not None
    assert judge.weights.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    np.testing.assert_array_equal(judge.embed(pictures(2)), opened(folder).embed(pictures(2)))


def test_missing_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCD_EVAL_WEIGHTS", raising=False)
    for kind in ("dino", "clip"):
        with pytest.raises(WeightsMissing):
            open_subjects(kind, tmp_path)


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_missing_packages(folder: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as Python marks what cannot be imported
    with pytest.raises(MissingExtra, match="pip install"):
        opened(folder)


def test_torch_is_not_loaded_by_the_module() -> None:
    modules = ", ".join(f"engines.evaluate.{name}" for name in ("subjects", "faces", "pose"))
    code = f"import sys, {modules}; assert not {{'torch', 'transformers'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(subjects.__file__).parents[2])
