"""The method's own identities, in float64 so that the tolerances can be tight."""

import pytest

torch = pytest.importorskip("torch")

import engines.model.layers as layers  # noqa: E402
from engines.core.specs import self_attention_sites  # noqa: E402
from engines.model.layers import Attention  # noqa: E402
from engines.model.scd import SCD, repeat_kv  # noqa: E402
from tests.model.stable import stable_scd  # noqa: E402
from tests.model.tiny import tiny_scd, tiny_spec  # noqa: E402

LAYOUTS = {"mini": tiny_scd, "stable-diffusion": stable_scd}


def inputs(model: SCD, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    columns, rows = model.spec.latent_size
    generator = torch.Generator().manual_seed(2)
    latents = torch.randn(batch, model.spec.unet.latent_channels, rows, columns, generator=generator, dtype=torch.float64)
    features = torch.randn(batch, model.spec.unet.channels[0], rows, columns, generator=generator, dtype=torch.float64)
    return latents, features


@pytest.fixture(params=LAYOUTS)
def model(request: pytest.FixtureRequest) -> SCD:
    return LAYOUTS[request.param](motion=False).double()


@pytest.fixture(params=LAYOUTS)
def video_model(request: pytest.FixtureRequest) -> SCD:
    return LAYOUTS[request.param](motion=True).double()


def test_sites_are_in_execution_order_with_true_sizes() -> None:
    model = tiny_scd(motion=False).double()
    latents, features = inputs(model, 1)
    collected = model.reference(latents, features)
    sites = self_attention_sites(model.spec)
    assert [s.name for s in sites] == ["down.0.0", "down.1.0", "mid", "up.0.0", "up.0.1", "up.1.0", "up.1.1"]
    assert [(s.tokens, s.channels) for s in sites] == [tuple(key.shape[1:]) for key, _ in collected]


def test_two_passes_equal_one_joint_pass_with_a_causal_mask(model: SCD, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eq. 1: with the reference at the target's timestep 0, [reference, target] tokens in one attention where the reference cannot see
    the target give the same target."""
    latents, features = inputs(model, 2)
    zero = torch.zeros(1, dtype=torch.float64)
    kv = model.reference(latents[:1], features[:1])
    two_passes = model.target(latents[1:], zero, features[1:], kv, 0)

    def joint(self: Attention, hidden: torch.Tensor, reference: object = None) -> tuple[torch.Tensor, object]:
        tokens = hidden.shape[1]
        both = hidden.reshape(1, 2 * tokens, -1)
        q, k, v = (p(both).unflatten(2, (self.heads, -1)).transpose(1, 2) for p in (self.to_q, self.to_k, self.to_v))
        mask = torch.ones(2 * tokens, 2 * tokens, dtype=torch.bool)
        mask[:tokens, tokens:] = False
        scores = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).masked_fill(~mask, -torch.inf)
        out = self.to_out[0]((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return out.reshape(hidden.shape), (k, v)

    monkeypatch.setattr(layers.Attention, "forward", joint)
    one_pass = model.unet(latents, zero, features)[0][1:]
    assert torch.allclose(two_passes, one_pass, rtol=0, atol=1e-12)


def test_reference_changes_the_target(model: SCD) -> None:
    latents, features = inputs(model, 3)
    time = torch.tensor([300.0], dtype=torch.float64)
    out = [model.target(latents[:1], time, features[:1], model.reference(latents[i : i + 1], features[i : i + 1]), 0) for i in (1, 2)]
    assert (out[0] - out[1]).abs().max() > 1e-3


def test_kv_extracted_once_equals_kv_extracted_at_every_step(model: SCD) -> None:
    latents, features = inputs(model, 2)
    once = model.reference(latents[:1], features[:1])
    a = b = latents[1:]
    for step in (900.0, 500.0, 100.0):
        time = torch.tensor([step], dtype=torch.float64)
        a = a - 0.1 * model.target(a, time, features[1:], once, 0)
        b = b - 0.1 * model.target(b, time, features[1:], model.reference(latents[:1], features[:1]), 0)
    assert torch.equal(a, b)


def test_frames_in_one_batch_equal_frames_one_by_one(model: SCD) -> None:
    latents, features = inputs(model, 4)
    kv, time = model.reference(latents[:1], features[:1]), torch.tensor([400.0], dtype=torch.float64)
    batched = model.target(latents, time, features, repeat_kv(kv, 4), 0)  # one K/V, expanded
    single = torch.cat([model.target(latents[i : i + 1], time, features[i : i + 1], kv, 0) for i in range(4)])  # a loop over frames
    assert torch.allclose(batched, single, rtol=0, atol=1e-12)


def test_fresh_motion_modules_change_nothing() -> None:
    torch.manual_seed(3)
    video = SCD(tiny_spec(motion=True)).double().eval()
    image = SCD(tiny_spec(motion=False)).double().eval()
    image.load_state_dict({k: v for k, v in video.state_dict().items() if "motion_modules" not in k})
    latents, features = inputs(video, 3)
    kv, time = video.reference(latents[:1], features[:1]), torch.tensor([400.0], dtype=torch.float64)
    with torch.no_grad():
        a = video.target(latents, time, features, repeat_kv(kv, 3), 1)
        b = image.target(latents, time, features, repeat_kv(kv, 3), 0)
    assert torch.allclose(a, b, rtol=0, atol=1e-12)


def test_motion_modules_couple_the_frames_of_a_clip_and_no_others(video_model: SCD) -> None:
    latents, features = inputs(video_model, 4)
    kv, time = repeat_kv(video_model.reference(latents[:1], features[:1]), 4), torch.tensor([400.0], dtype=torch.float64)
    before = video_model.target(latents, time, features, kv, 2)  # two clips of two frames
    changed = latents.clone()
    changed[0] += 1
    after = video_model.target(changed, time, features, kv, 2)
    assert (after[1] - before[1]).abs().max() > 1e-6
    assert torch.equal(after[2:], before[2:])


def test_reference_pass_leaves_motion_modules_out(video_model: SCD) -> None:
    latents, features = inputs(video_model, 2)
    together = video_model.reference(latents, features)
    alone = video_model.reference(latents[:1], features[:1])
    assert all(torch.allclose(a[0][:1], b[0], rtol=0, atol=1e-12) for a, b in zip(together, alone, strict=True))
