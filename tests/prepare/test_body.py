"""Bodies: adults only, the rig holds still at rest, faces differ."""

import numpy as np
import pytest

from engines.prepare.body import BODY_VERTICES, base_body, face_targets, macro_weights, random_shape

pytestmark = pytest.mark.usefixtures("assets")
EVEN = {"african": 1 / 3, "asian": 1 / 3, "caucasian": 1 / 3}


def test_macro_weights_are_of_adults_and_sum_to_one() -> None:
    weights = macro_weights(True, 0.3, 0.6, 0.4, 0.7, 0.9, EVEN)
    assert not any("baby" in name or "child" in name or "-male" in name for name in weights)
    groups = ("macrodetails/universal-", "macrodetails/african-", "macrodetails/asian-", "macrodetails/caucasian-")
    totals = {group: sum(v for k, v in weights.items() if k.startswith(group)) for group in groups}
    assert totals[groups[0]] == pytest.approx(1.0, abs=0.01)
    assert sum(totals[g] for g in groups[1:]) == pytest.approx(1.0, abs=0.01)


def test_every_macro_target_is_a_file() -> None:
    root = base_body().root / "targets"
    for female in (True, False):
        for height in (0.2, 0.8):
            for name in macro_weights(female, 0.4, 0.7, 0.3, height, 0.8, EVEN):
                assert (root / f"{name}.target.gz").is_file(), name


def test_no_face_target_makes_somebody_younger() -> None:
    assert len(face_targets()) > 50
    assert not any("age" in name.split("/")[1].split("-") for name in face_targets())


def test_bodies_are_of_adult_height_and_differ() -> None:
    shapes = [random_shape(np.random.default_rng(seed)) for seed in range(4)]
    for shape in shapes:
        assert 1.4 < np.ptp(shape.vertices[:BODY_VERTICES, 2]) < 2.15
    assert np.abs(shapes[0].vertices - shapes[1].vertices).max() > 0.005


def test_same_seed_same_body() -> None:
    a, b = (random_shape(np.random.default_rng(7)) for _ in range(2))
    assert (a.vertices == b.vertices).all()


def test_rest_pose_is_the_shape_itself() -> None:
    base, shape = base_body(), random_shape(np.random.default_rng(1))
    points, places, _ = base.pose(shape, {}, shape.heads[base.index["root"]])
    assert points == pytest.approx(shape.vertices, abs=1e-4)
    assert places == pytest.approx(shape.heads, abs=1e-6)


def test_skinning_weights_sum_to_one() -> None:
    assert np.asarray(base_body().weights.sum(1)).ravel()[:BODY_VERTICES] == pytest.approx(1.0, abs=1e-4)


def test_left_is_the_persons_left() -> None:
    base = base_body()
    heads = base.head_points @ base.vertices
    assert heads[base.index["wrist.L"]][0] > 0 > heads[base.index["wrist.R"]][0]
    eye, toe = heads[base.index["eye.L"]], heads[base.index["toe1-1.L"]]
    assert eye[1] < 0
    assert toe[2] < eye[2]
