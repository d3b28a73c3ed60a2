"""The TensorRT session without a GPU: stand-ins for CUDA, the engine and the driver, and a real plan as far as it goes."""

import ctypes
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from engines.core.errors import ScdError
from engines.sessions import tensorrt_session as module
from engines.sessions.builders import PlanFacts, PlanRequest, build_to
from engines.sessions.cuda import CudaDriver, driver_library
from engines.sessions.plans import Plan
from engines.sessions.tensorrt_session import check_validity, open_session
from tests.sessions.small_graph import attention_graph
from tests.sessions.stand_ins import (
    HALF,
    KV,
    LOG,
    SINGLE,
    TRT,
    Config,
    Context,
    Cuda,
    Engine,
    Values,
    expected,
    feeds,
    opened,
    pair,
    reference_engine,
    reference_values,
    rows,
    target_engine,
)


def test_runs_of_any_length_use_the_same_buffers() -> None:
    """Float32 in and out around a float16 engine; one allocation and one binding for each tensor, of its largest size."""
    cuda = Cuda()
    target = pair(cuda)[1]
    target.pin(KV)
    for frames in (3, 24, 1, 16):
        out = target.run(feeds(frames))
        assert list(out) == ["prediction"]
        assert out["prediction"].dtype == np.float32
        np.testing.assert_array_equal(out["prediction"], expected(frames, KV))
    context = target.context
    assert (cuda.mallocs, context.binds, len(set(context.addresses.values()))) == (5, 5, 5)
    assert all(address % 256 == 0 for address in context.addresses.values())
    assert {len(cuda.memory[address]) for address in context.addresses.values()} == {256}
    assert target.largest["latents"] == target.largest["prediction"] == (24, 4)
    turned = np.ascontiguousarray(rows(4).T).T
    turned.flags.writeable = False
    np.testing.assert_array_equal(target.run(feeds(4) | {"latents": turned})["prediction"], expected(4, KV))


def test_pinned_inputs_go_up_once() -> None:
    cuda = Cuda()
    target = pair(cuda)[1]
    target.pin({name: array.copy() for name, array in KV.items()})
    for _ in range(5):
        target.run(feeds(2))
    counts = {name: cuda.uploads[address] for name, address in target.context.addresses.items()}
    assert counts == {"latents": 5, "timestep": 5, "ref_k.mid": 1, "ref_v.mid": 1, "prediction": 0}
    one = {name: array[:1] for name, array in KV.items()}
    target.pin(one)  # fewer conditions, same place
    np.testing.assert_array_equal(target.run(feeds(2))["prediction"], expected(2, one))
    assert cuda.mallocs == 5
    target.pin({"ref_k.mid": rows(1)})  # replaces all that was pinned
    with pytest.raises(ValueError, match=r"inputs missing: \['ref_v\.mid'\]"):
        target.run(feeds(2))


def test_linked_keys_and_values_never_leave_the_gpu() -> None:
    cuda = Cuda()
    reference, target = pair(cuda)
    assert target.link(reference) == ["ref_k.mid", "ref_v.mid"]
    for conditions in (2, 1, 2):
        latents = rows(conditions, conditions)
        reference.launch({"ref_latents": latents})
        assert not cuda.queued, "all done when it returns"
        kv = reference_values({"ref_latents": latents.astype(HALF)})
        np.testing.assert_array_equal(target.run(feeds(3))["prediction"], expected(3, kv))
    for name in KV:
        assert reference.context.addresses[name] == target.context.addresses[name]
        assert cuda.uploads[target.context.addresses[name]] == 0
    assert cuda.mallocs == 6, "latents, timestep, prediction; ref_latents; two that are shared"


def test_keys_and_values_outlive_the_reference_engine() -> None:
    """The order of `scd animate`: read, close the reference, open the target, run; the K/V stay where they are."""
    cuda = Cuda()
    reference = pair(cuda)[0]
    reference.launch({"ref_latents": rows(2)})
    kept = reference.keep()
    places = {name: reference.buffers[name].address for name in KV}
    reference.close()
    assert set(cuda.memory) == set(places.values())
    target = opened("target", target_engine(), cuda)
    assert target.link(kept) == list(KV)
    kept.close()
    kv = reference_values({"ref_latents": rows(2).astype(HALF)})
    np.testing.assert_array_equal(target.run(feeds(3))["prediction"], expected(3, kv))
    assert {name: target.context.addresses[name] for name in KV} == places
    assert all(cuda.uploads[place] == 0 for place in places.values())
    target.close()
    assert not cuda.memory


@pytest.mark.parametrize("first", ["reference", "target"])
def test_shared_buffers_live_until_both_are_closed(first: str) -> None:
    cuda = Cuda()
    reference, target = pair(cuda)
    target.link(reference)
    reference.run({"ref_latents": rows(1)})
    kv = reference_values({"ref_latents": rows(1).astype(HALF)})
    first_closed, last = (reference, target) if first == "reference" else (target, reference)
    first_closed.close()
    first_closed.close()  # twice is harmless
    assert first_closed.engine is first_closed.context is None
    assert {last.buffers[name].address for name in KV} <= set(cuda.memory)
    out = last.run(feeds(3) if last is target else {"ref_latents": rows(1)})
    for name, values in ({"prediction": expected(3, kv)} if last is target else kv).items():
        np.testing.assert_array_equal(out[name], values)
    last.close()
    assert not cuda.memory
    pair(cuda)[0].close()  # never run


def test_links_that_cannot_be() -> None:
    reference, target = pair(cuda := Cuda())
    with pytest.raises(ValueError, match=r"target\.onnx takes nothing that target\.onnx gives"):
        target.link(target)
    with pytest.raises(ValueError, match="cannot be linked: other device"):
        target.link(pair(Cuda())[0])
    for change in ({"kinds": SINGLE}, {"shapes": (-1, 5)}, {"shapes": (-1, 4, 1)}):
        other = reference_engine()
        for field, value in change.items():
            getattr(other, field)["ref_v.mid"] = value
        with pytest.raises(ValueError, match=r"ref_v\.mid cannot be linked: .*dtype or shape"):
            target.link(opened("reference", other, cuda))
    assert not cuda.memory, "refused before anything is bound"
    target.link(reference)
    with pytest.raises(ValueError, match=r"the session that ref_k\.mid is linked to has not run"):
        target.run(feeds(1))
    with pytest.raises(ValueError, match="has not run"):
        reference.fetch()
    with pytest.raises(ValueError, match=r"given though linked: \['ref_k\.mid', 'ref_v\.mid'\]"):
        target.pin(KV)
    used = pair(cuda)[1]
    used.pin(KV)
    with pytest.raises(ValueError, match="bound already"):
        used.link(reference)


def test_what_the_profile_does_not_have_is_refused_before_it_is_uploaded() -> None:
    cuda = Cuda()
    target = pair(cuda)[1]
    with pytest.raises(ScdError, match=r"target\.onnx takes 1 to 2 .*ref_k\.mid.*, not 3"):
        target.pin({"ref_k.mid": rows(3), "ref_v.mid": rows(3)})
    assert not cuda.uploads
    target.pin(KV)
    uploads = cuda.uploads.copy()
    with pytest.raises(ScdError, match=r"takes 1 to 24 .*latents.*, not 64; .*--frames"):
        target.run(feeds(64))
    assert cuda.uploads == uploads
    np.testing.assert_array_equal(target.run(feeds(24))["prediction"], expected(24, KV), "and it goes on")
    engine = reference_engine()
    engine.profile = {"ref_latents": ((1, 4), (2, 4), (9, 4))}
    reference, linked = opened("reference", engine, cuda), pair(cuda)[1]
    linked.link(reference)
    reference.launch({"ref_latents": rows(9)})
    with pytest.raises(ScdError, match=r"takes 1 to 2 .*ref_k\.mid.*, not 9"):
        linked.run(feeds(1))


def test_wrong_feeds_are_named() -> None:
    target = pair(Cuda())[1]
    with pytest.raises(ValueError, match=r"inputs missing: \['ref_k\.mid', 'ref_v\.mid'\]"):
        target.run(feeds(1))
    target.pin(KV)
    wrong: list[tuple[Values, str]] = [
        ({"lattents": rows(1)}, r"no inputs: \['lattents'\]"),
        ({"latents": rows(1).astype(np.float64)}, "latents is float64, not float16"),
        ({"latents": rows(1)[:, :3]}, r"latents has the shape \(1, 3\)"),
        ({"timestep": np.array(3, np.float32)}, "timestep has the shape"),
        ({"ref_k.mid": rows(1)}, r"given though pinned: \['ref_k\.mid'\]"),
    ]
    for change, said in wrong:
        with pytest.raises(ValueError, match=said):
            target.run(feeds(1) | change)


def test_failures_are_one_sentence_with_tensorrts_own_words() -> None:
    target = pair(Cuda())[1]
    target.engine.fails = True
    with pytest.raises(ScdError, match=r"TensorRT could not run for target\.onnx \(\[engine\.cpp\] out of luck\)") as caught:
        target.run(feeds(1) | KV)
    assert "\n" not in str(caught.value)
    engine = target_engine()
    engine.fails = True
    with pytest.raises(ScdError, match=r"make room for the activations on the GPU .*fewer --frames"):
        opened("target", engine, Cuda())


def test_rtx_records_cuda_graphs_and_keeps_its_compiled_kernels(tmp_path: Path) -> None:
    for before in (b"", b"compiled for this GPU"):
        engine = target_engine()
        session = opened("target", engine, Cuda(), tmp_path)
        assert (engine.context.config, engine.config.cuda_graph_strategy) == (engine.config, "whole graph")
        assert engine.config.read == before
        session.close()
        assert [path.name for path in tmp_path.iterdir()] == ["target.jit"]
    opened("target", target_engine(), Cuda(), tmp_path / "gone").close()  # nowhere to keep them: no reason to fail
    classic = target_engine()
    opened("target", classic, Cuda(), tmp_path, "trt").close()
    assert classic.config is None


BITS = {name: 1 << place for place, name in enumerate(module.REFUSALS)}  # as TensorRT-RTX has them: see below
REASONS = {
    2: "other GPUs than this SM89; export the bundle again with --sm 89",
    3: "another version of TensorRT-RTX; export",
    4: "driver is too old for it; update the driver",
    0: r"\(\[engine\.cpp\] out of luck\); check the driver with nvidia-smi",
}


@pytest.mark.parametrize(("bits", "said"), REASONS.items())
def test_refusals_of_tensorrt_rtx_say_what_to_do(bits: int, said: str) -> None:
    trt = SimpleNamespace(EngineValidity=TRT.EngineValidity, EngineInvalidityDiagnostics=SimpleNamespace(**BITS))
    facts = PlanFacts("target.onnx", "00", "trt-rtx", "1.7", ("120",), {}, 1, 1, 1, 1.0)
    with pytest.raises(ScdError, match=said):
        check_validity(trt, SimpleNamespace(get_engine_validity=lambda _: (2, bits)), b"", facts, Cuda(), LOG)
    check_validity(trt, SimpleNamespace(get_engine_validity=lambda _: (0, bits)), b"", facts, Cuda(), LOG)


@pytest.mark.trt
def test_the_stand_ins_have_no_call_that_tensorrt_lacks() -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    own = {"array", "compute"}
    both = set(dir(rtx.IRuntimeConfig)) | set(dir(rtx.IRuntimeCache))
    for double, real in ((Engine, set(dir(rtx.ICudaEngine))), (Context, set(dir(rtx.IExecutionContext))), (Config, both)):
        assert {name for name in vars(double) if not name.startswith("_")} - own <= real
    assert hasattr(rtx.IRuntimeConfig, "cuda_graph_strategy")
    for kind in ("TensorIOMode", "CudaGraphStrategy", "EngineValidity"):
        assert set(vars(getattr(TRT, kind))) <= set(dir(getattr(rtx, kind)))
    assert {name: int(bit) for name, bit in rtx.EngineInvalidityDiagnostics.__members__.items()} == BITS
    kinds = ((rtx.DataType.HALF, HALF), (rtx.DataType.FLOAT, SINGLE), (rtx.DataType.INT64, np.int64), (rtx.DataType.UINT8, np.uint8))
    assert all(rtx.nptype(theirs) is ours for theirs, ours in kinds)


@pytest.mark.trt
def test_a_real_plan_opens_up_to_where_it_needs_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver is a stand-in, TensorRT-RTX is not: it reads the header, and takes and leaves the mapped file without a copy."""
    pytest.importorskip("tensorrt_rtx")
    if Path("/dev/nvidia0").exists():
        pytest.skip("there is a GPU")
    profile = {"latents": ((1, 64, 64), (4, 64, 64), (8, 64, 64))}
    request = PlanRequest(attention_graph(tmp_path / "target.onnx"), "00", "trt-rtx", ("89",), profile)
    plan = Plan(tmp_path / "target.plan", build_to(request, tmp_path / "target.plan"))
    with pytest.raises(ScdError, match=r"refuses the plan of target\.onnx \(.*CUDA driver.*\); check the driver") as caught:
        open_session(plan, Cuda())
    assert "\n" not in str(caught.value)
    whole = plan.path.read_bytes()
    plan.path.write_bytes(b"x" * 999)
    with pytest.raises(ScdError, match="it is damaged, or of another version of TensorRT-RTX; export the bundle again"):
        open_session(plan, Cuda())
    plan.path.write_bytes(whole)
    monkeypatch.setattr(module, "check_validity", lambda *_: None)
    with pytest.raises(ScdError, match=r"cannot load the plan of target\.onnx on this GPU, SM89 \(.*; build it again"):
        open_session(plan, Cuda())


DRIVER = r"""
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
typedef unsigned long long ptr;
int fail = 0, live = 0, context = 0;
static int done(void) { int code = fail; fail = 0; return code; }
int cuInit(unsigned int flags) { return flags ? 1 : done(); }
int cuDeviceGet(int *device, int ordinal) { *device = 40 + ordinal; return 0; }
int cuDeviceGetAttribute(int *out, int attribute, int device) {
    *out = attribute == 75 ? 12 : attribute == 76; return device == 40 ? 0 : 101; }
int cuDevicePrimaryCtxRetain(void **out, int device) { *out = (void *)0x7f1122334455ull; return device == 40 ? 0 : 101; }
int cuCtxSetCurrent(void *c) { context = c == (void *)0x7f1122334455ull; return context ? 0 : 201; }
int cuStreamCreate(void **out, unsigned int flags) { *out = (void *)0x7f9988776655ull; return context && flags == 1 ? 0 : 1; }
static int wrong(void *s) { return s != (void *)0x7f9988776655ull; }
int cuStreamSynchronize(void *s) { return wrong(s) ? 400 : done(); }
int cuMemAlloc_v2(ptr *out, size_t size) {
    if (!fail) live++, *out = (ptr)(uintptr_t)aligned_alloc(256, size); return done(); }
int cuMemFree_v2(ptr p) { live--; free((void *)(uintptr_t)p); return 0; }
int cuMemcpyHtoDAsync_v2(ptr to, const void *from, size_t size, void *s) { memcpy((void *)(uintptr_t)to, from, size); return wrong(s); }
int cuMemcpyDtoHAsync_v2(void *to, ptr from, size_t size, void *s) { memcpy(to, (void *)(uintptr_t)from, size); return wrong(s); }
int cuGetErrorName(int code, const char **out) { *out = code == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : NULL; return 0; }
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Its functions have the prototypes of cuda.h, over the host's memory."""
    compiler = shutil.which("cc") or pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "cuda.c").write_text(DRIVER)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "libcuda.so", folder / "cuda.c"], check=True)
    return driver_library(str(folder / "libcuda.so"))


def test_the_driver_is_called_as_cuda_h_says(driver: ctypes.CDLL) -> None:
    """Whole 64-bit handles and addresses, and memory that comes back, under a session."""
    cuda = CudaDriver(driver)
    assert (cuda.compute_capability, cuda.stream) == ("121", 0x7F9988776655)
    engines = reference_engine(), target_engine()
    reference, target = (opened(name, engine, cuda) for name, engine in zip(("reference", "target"), engines, strict=True))
    host = lambda address, size: np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
    for engine in engines:
        engine.machine = SimpleNamespace(stream=cuda.stream, view=host, queue=lambda step: step())
    target.link(reference)
    reference.launch({"ref_latents": rows(2)})
    kv = reference_values({"ref_latents": rows(2).astype(HALF)})
    for frames in (24, 5):
        np.testing.assert_array_equal(target.run(feeds(frames))["prediction"], expected(frames, kv))
    live = ctypes.c_int.in_dll(driver, "live")
    assert live.value == 6
    reference.close()
    target.close()
    assert live.value == 0


@pytest.mark.parametrize(("code", "said"), [(2, "no memory left; close"), (700, "_v2: CUDA_ERROR_ILLEGAL"), (9, r"an unknown error, 9\)")])
def test_errors_of_the_driver(driver: ctypes.CDLL, code: int, said: str) -> None:
    session = opened("target", target_engine(), CudaDriver(driver))
    ctypes.c_int.in_dll(driver, "fail").value = code
    with pytest.raises(ScdError, match=said):
        session.pin(KV)
    session.close()
    assert ctypes.c_int.in_dll(driver, "live").value == 0


def test_machines_without_a_gpu_or_its_driver(driver: ctypes.CDLL, tmp_path: Path) -> None:
    ctypes.c_int.in_dll(driver, "fail").value = 100
    with pytest.raises(ScdError, match="no NVIDIA GPU that CUDA can use; use --providers cpu"):
        CudaDriver(driver)
    with pytest.raises(ScdError, match=r"no NVIDIA driver \(.*libnone\.so.*\); use --providers cpu"):
        driver_library(str(tmp_path / "libnone.so"))
