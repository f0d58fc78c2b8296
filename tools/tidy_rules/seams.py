"""The backends' seam: only a backend's own folder, and the table of backends, know which one it is.

A file that compares kinds of devices may do so as often as its exception (`seam PATH N`) allows, others never.
"""

import re

OWN = ("src/nn/cpu/", "src/nn/cuda/", "src/nn/reference/", "src/nn/metal/", "src/nn/backend/")
# Who chooses a backend, from what a person asked for.
CHOOSES = "src/engine/exec/runner.cpp"
INCLUDE = re.compile(r'^#include "nn/(?:cpu|cuda|metal|reference)/', re.MULTILINE)
ASKS = re.compile(r"\bBackendKind\b|\bdynamic_cast<\s*(?:const )?\w*(?:Backend|Weight|Kv)\b")
# Comparisons with a kind of device or backend.
KIND = r"(?:\w+::)*(?:DeviceKind|BackendKind)::k\w+"
COMPARES = re.compile(rf"[!=]=\s*{KIND}|{KIND}\s*[!=]=|\bcase\s+{KIND}")
# In models/: numbers of bits, devices and kernels are the backend's affair.
MLX = r"\b(?:mx|mlx::core)::"
NAMED = re.compile(rf"\b(?:cpu|cuda|metal)::|{MLX}b?float\d+\b|{MLX}(?:u?int|complex)\d+\b|{MLX}bool_\b|{MLX}Dtype\b"
                   rf"|{MLX}(?:Device|Stream|default_device|set_default_device|is_available)\b"
                   r"|\busing namespace (?:mx|mlx(?:::core)?)\b|\bIsa\b|\bKernels\b|\bDeviceKind\b|\bBackendKind\b"
                   r"|\bastype\(|->dtype\(|\.dtype\(")

# For tools/tidy --self-test: what has to be found, and what must not be.
PLANTED = {
    "src/engine/exec/device.cpp": ("bool f() { return kind == nn::BackendKind::kCuda; }\n", "seam"),
    "src/nn/ops/own.cpp": ('#include "nn/cuda/kernels.h"\n', "seam"),
    "src/models/text/wide.cpp": ("bool f(const mx::array& a) { return a.dtype() == mx::float32; }\n", "seam"),
    "src/models/text/kernel.cpp": ("using Order = nn::cpu::PackedLinear::Order;\n", "seam"),
    "src/models/text/half.cpp": ("auto f(const array& a) { return full({1}, 0, mx::float16); }\n", "seam"),
    "src/models/text/brain.cpp": ("const auto kType = mlx::core::bfloat16;\n", "seam"),
    "src/models/text/device.cpp": ("bool f() { return mx::default_device() == mx::Device::gpu; }\n", "seam"),
    "src/models/text/opened.cpp": ("using namespace mlx::core;\n", "seam"),
    "src/service/asks.cpp": ("bool f() { return device != engine::DeviceKind::kCpu; }\n", "seam"),
    "src/service/turned.cpp": ("bool f() { return DeviceKind::kCpu == device; }\n", "seam"),
    "src/app/cases.cpp": ("void f() { switch (k) { case DeviceKind::kCuda: break; } }\n", "seam"),
}
CLEAN = {
    "src/nn/cuda/cuda_backend.cpp": '#include "nn/cuda/kernels.h"\nbool f() { return k == BackendKind::kCuda; }\n',
    "src/models/text/says.cpp": "// On cpu::kernels, as mx::float32.\nint x;\n",
    "src/app/flags.cpp": 'DeviceKind f() { return name == "cpu" ? DeviceKind::kCpu : DeviceKind::kCuda; }\n',
}


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def check_seams(tree, path, text):
    """Notes each place that knows a backend and should not. `text`: with comments and strings blanked."""
    if not path.startswith("src/") or path.startswith(OWN):
        return
    if path != CHOOSES:
        for found in ASKS.finditer(text):
            tree.breach(path, line_of(text, found.start()), "seam", "asks which backend it is; add an operation to it")
    if compared := [line_of(text, found.start()) for found in COMPARES.finditer(text)]:
        tree.count("seam", path, compared[0], len(compared), 0,
                   f"compares kinds of devices in lines {', '.join(map(str, compared))}; ask the backend instead")
    if path.startswith("src/models/"):
        for found in NAMED.finditer(text):
            tree.breach(path, line_of(text, found.start()), "seam", f"{found.group()}: a model names no type or device")


def check_includes(tree, path, text):
    """The same of includes, whose paths are strings."""
    if not path.startswith("src/") or path.startswith(OWN):
        return
    for found in INCLUDE.finditer(text):
        tree.breach(path, line_of(text, found.start()), "seam", "includes what is a backend's own")
