"""The rows of the paper's Table 2 as models: what each makes of a reference, and what each starts from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from engines.core.errors import ScdError  # noqa: E402
from engines.core.specs import ModelSpec, PictureSpec, ReferenceNetSpec, TextSpec  # noqa: E402
from engines.export.graphs import bundle_graphs  # noqa: E402
from engines.export.torch_twin import saved_spec  # noqa: E402
from engines.model.baselines import build_model, from_base, read_reference  # noqa: E402
from engines.model.loading import SavedModel  # noqa: E402
from engines.model.picture_weights import load_picture_encoder  # noqa: E402
from engines.model.scd import SCD, repeat_kv  # noqa: E402
from tests.model.stable import stable_spec  # noqa: E402
from tests.model.tiny import tiny_autoencoder, tiny_spec  # noqa: E402

PLAIN = tiny_spec(motion=False)
PICTURE = PictureSpec(size=16, patch=8, width=16, layers=1, heads=2, inner=16, channels=12, activation="quick_gelu")
TOKEN = TextSpec(tokens=1, channels=12)
ROWS = {
    "clip": replace(PLAIN, condition="picture", reference_pose=False, picture=PICTURE, unet=replace(PLAIN.unet, text=TOKEN)),
    "channels": replace(PLAIN, condition="channels", reference_pose=False),
    "reference-net-random": replace(PLAIN, reference_net=ReferenceNetSpec(pose=False, initial="random"), reference_pose=False),
    "reference-net": replace(PLAIN, reference_net=ReferenceNetSpec(pose=False, initial="copy"), reference_pose=False),
    "scd-dagger-no-pose": replace(PLAIN, condition="joint", reference_pose=False),
    "scd-dagger": replace(PLAIN, condition="joint"),
    "scd-no-pose": replace(PLAIN, reference_pose=False),
    "scd": PLAIN,
}  # fmt: skip


def fresh(spec: ModelSpec, seed: int = 0) -> SCD:
    torch.manual_seed(seed)
    return build_model(spec)


def moving(spec: ModelSpec) -> SCD:
    """A model none of whose weights is zero: nothing is silently switched off."""
    model, random = fresh(spec), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=random) * (parameter == 0)
    return model.eval().requires_grad_(False)


def base_weights() -> dict[str, Tensor]:
    return moving(PLAIN).state_dict()


class Inputs:
    """Two references, and three targets for each, in one go."""

    def __init__(self, spec: ModelSpec) -> None:
        (columns, rows), random = spec.latent_size, torch.Generator().manual_seed(2)
        self.ref = torch.randn(2, 4, rows, columns, generator=random)
        self.ref_pose = torch.rand(2, 3, spec.size[1], spec.size[0], generator=random)
        self.latents = torch.randn(6, 4, rows, columns, generator=random)
        self.pose = torch.rand(6, 3, spec.size[1], spec.size[0], generator=random)
        self.timestep = torch.tensor([400.0])


@torch.no_grad()
def predicted(model: SCD, x: Inputs, ref: Tensor | None = None, ref_pose: Tensor | None = None) -> Tensor:
    """The prediction for x, its reference or the reference's pose exchanged."""
    features = model.pose_encoder(x.ref_pose if ref_pose is None else ref_pose)
    pairs = read_reference(model, x.ref if ref is None else ref, features, tiny_autoencoder().decode)
    return model.target(x.latents, x.timestep, model.pose_encoder(x.pose), repeat_kv(pairs, 3), 0)


@pytest.fixture(params=ROWS)
def row(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_prediction_depends_on_each_target_s_own_reference_alone(row: str) -> None:
    model, x = moving(ROWS[row]), Inputs(PLAIN)
    before, after = predicted(model, x), predicted(model, x, torch.cat([x.ref[:1], x.ref[1:].flip(2)]))
    assert before.shape == x.latents.shape
    assert torch.equal(before[:3], after[:3])
    assert ((before - after)[3:].abs().amax(dim=(1, 2, 3)) > 1e-5).all()


def test_the_reference_s_pose_counts_where_the_row_has_it_and_nowhere_else(row: str) -> None:
    model, x = moving(ROWS[row]), Inputs(PLAIN)
    moved = (predicted(model, x) - predicted(model, x, ref_pose=x.ref_pose.flip(2))).abs().max()
    assert (moved > 1e-5) == (row in ("scd", "scd-dagger"))


def test_null_references_are_all_alike(row: str) -> None:
    """Zero latents say nothing, so that guidance has something to point away from: whatever the picture, the prediction is the same."""
    model, x = moving(ROWS[row]), Inputs(PLAIN)
    null, black = torch.zeros_like(x.ref), torch.zeros_like(x.ref_pose)
    features = model.pose_encoder(black)
    encoded = model.pose_encoder(x.pose)

    def by(decode: Any) -> Tensor:
        with torch.no_grad():
            return model.target(x.latents, x.timestep, encoded, repeat_kv(read_reference(model, null, features, decode), 3), 0)

    assert torch.equal(by(lambda latents: torch.ones(2, 3, 64, 32)), by(lambda latents: -torch.ones(2, 3, 64, 32)))
    assert (by(tiny_autoencoder().decode) - predicted(model, x)).abs().max() > 1e-5


def test_every_row_denoises_without_a_reference_as_its_base_does(row: str) -> None:
    """With the base's weights and no reference at all, what the row added is silent."""
    base, model, x = moving(PLAIN), fresh(ROWS[row]), Inputs(PLAIN)
    model.load_state_dict(from_base(model, base.state_dict()), strict=True)
    features = base.pose_encoder(x.pose)
    with torch.no_grad():
        expected, got = (m.target(x.latents, x.timestep, features, None, 0) for m in (base, model))
    assert torch.allclose(expected, got, atol=1e-6)
    assert expected.std() > 0.01


@pytest.mark.parametrize("name", ["clip", "channels"])
def test_rows_that_add_to_the_base_start_as_the_base(name: str) -> None:
    """Channel concatenation with zero new weights and cross-attention with zero outputs: a reference changes nothing yet."""
    base, model, x = moving(PLAIN), fresh(ROWS[name]), Inputs(PLAIN)
    model.load_state_dict(from_base(model, base.state_dict()), strict=True)
    with torch.no_grad():
        expected = base.target(x.latents, x.timestep, base.pose_encoder(x.pose), None, 0)
    assert torch.allclose(predicted(model, x), expected, atol=1e-6)


def test_a_reference_net_copies_the_base_or_does_not() -> None:
    base = base_weights()
    for name, copies in (("reference-net", True), ("reference-net-random", False)):
        weights = from_base(fresh(ROWS[name], seed=5), base)
        reading = {k: v for k, v in weights.items() if k.startswith("reference_unet.") and v.dim() > 1}
        assert len(reading) > 20
        assert all(torch.equal(v, base[k.removeprefix("reference_")]) == copies for k, v in reading.items())
        assert all(torch.equal(v, weights[k]) for k, v in base.items())


def test_a_run_of_the_same_row_goes_on_with_all_its_weights(row: str) -> None:
    weights = moving(ROWS[row]).state_dict()
    again = from_base(fresh(ROWS[row], seed=7), weights)
    assert again.keys() == weights.keys()
    assert all(torch.equal(v, weights[k]) for k, v in again.items())


def test_joint_is_the_unet_on_one_picture_of_both() -> None:
    x = Inputs(PLAIN)
    for name, posed in (("scd-dagger", True), ("scd-dagger-no-pose", False)):
        model = moving(ROWS[name])
        with torch.no_grad():
            left = model.pose_encoder(x.ref_pose) if posed else model.pose_encoder.place().expand(2, -1, -1, -1)
            features = torch.cat([left.repeat_interleave(3, dim=0), model.pose_encoder(x.pose)], dim=3)
            picture = torch.cat([x.ref.repeat_interleave(3, dim=0), x.latents], dim=3)
            whole = model.unet(picture, x.timestep, features)[0]
        assert torch.equal(predicted(model, x), whole[..., x.latents.shape[3] :])


def test_features_of_no_pose_know_the_place_and_nothing_else() -> None:
    model = moving(PLAIN)
    with torch.no_grad():
        model.pose_encoder.conv_out.bias.zero_()
        for block in (model.pose_encoder.conv_in, *model.pose_encoder.blocks):
            block.weight.zero_()
            block.bias.zero_()  # nothing is seen of the pose then, and SiLU(0) is 0
        assert torch.allclose(model.pose_encoder(torch.rand(1, 3, 64, 32)), model.pose_encoder.place(), atol=1e-6)
    assert fresh(stable_spec(motion=False)).pose_encoder.place().shape == ()


def test_stable_diffusion_s_cross_attention_is_kept_by_the_clip_row() -> None:
    """There the base has cross-attention: the token takes the empty prompt's place."""
    spec = stable_spec(motion=False)
    assert spec.unet.text is not None
    picture = replace(PICTURE, channels=spec.unet.text.channels)
    model = fresh(replace(spec, condition="picture", reference_pose=False, picture=picture))
    base = fresh(spec, seed=3).state_dict()
    weights = from_base(model, base)
    model.load_state_dict(weights, strict=True)
    crossing = [k for k in base if "attn2" in k]
    assert crossing
    assert all(torch.equal(weights[k], base[k]) for k in crossing)


def test_trained_image_encoders_are_read_and_stay(tmp_path: Path) -> None:
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(4)
    vision = {
        "image_size": 16,
        "patch_size": 8,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    text = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50}
    whole = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12))
    whole.save_pretrained(str(tmp_path / "clip"))
    spec = replace(ROWS["clip"], picture=replace(PICTURE, weights=str(tmp_path / "clip")))
    model, x = fresh(spec), Inputs(PLAIN)
    load_picture_encoder(model)
    encoder = model.picture_encoder
    assert torch.equal(encoder.clip.visual_projection.weight, whole.visual_projection.weight)
    assert not any(p.requires_grad for p in encoder.parameters())
    pairs = read_reference(model, x.ref, model.pose_encoder(x.ref_pose), tiny_autoencoder().decode)
    assert not pairs[0][0].requires_grad
    other = fresh(replace(spec, picture=replace(spec.picture, width=32, weights=str(tmp_path / "clip"))))  # type: ignore[type-var]
    with pytest.raises(ScdError, match=r"class_embedding is \(16,\) not \(32,\)"):
        load_picture_encoder(other)


def test_scd_without_reference_pose_has_a_reference_graph_without_it() -> None:
    """Such a model, trained from nothing but the recipe, becomes a bundle like SCD."""
    model, x = moving(ROWS["scd-no-pose"]), Inputs(PLAIN)
    graph = next(graph for graph in bundle_graphs(model, tiny_autoencoder()) if graph.name == "reference")
    assert list(graph.inputs) == ["ref_latents"]
    with torch.no_grad():
        made, expected = graph.module(x.ref), model.reference(x.ref)
    assert all(torch.equal(a, b) for a, b in zip(made, (t for pair in expected for t in pair), strict=True))


WRONG = {
    "channels with a pose": (replace(ROWS["channels"], reference_pose=True), "takes no pose of its reference"),
    "picture with a pose": (replace(ROWS["clip"], reference_pose=True), "takes no pose of its reference"),
    "picture without encoder": (replace(ROWS["clip"], picture=None), "needs an image encoder"),
    "picture without cross-attention": (replace(ROWS["clip"], unet=PLAIN.unet), "needs an image encoder and cross-attention"),
    "encoder that nothing looks at": (replace(PLAIN, picture=PICTURE), "does not look at a picture's token"),
    "joint Reference-Net": (replace(ROWS["scd-dagger"], reference_net=ReferenceNetSpec(pose=False)), "has the condition 'attention'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_specs_that_contradict_themselves_are_refused(name: str) -> None:
    spec, message = WRONG[name]
    with pytest.raises(ScdError, match=message):
        build_model(spec)


@pytest.mark.parametrize("name", ["clip", "channels", "scd-dagger"])
def test_baselines_are_not_exported(name: str) -> None:
    saved = SavedModel(fresh(ROWS[name]), tiny_autoencoder(), None, None, {})  # type: ignore[arg-type]
    with pytest.raises(ScdError, match=r"baseline of the paper's Table 2 and becomes no bundle"):
        saved_spec(saved)
