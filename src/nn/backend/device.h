// Devices: where a model can run, and what those above a backend need to know of each. A new device
// is a row in device.cpp's table. Thread: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "nn/types/kv_type.h"

namespace pippin::store {
struct TensorView;
}

namespace pippin::nn {

/// Where a model runs.
enum class DeviceKind : uint8_t { kCpu, kCuda };

/// The backends there are. kReference: MLX operations in f32, right on every device and the
/// oracle of the others; in bf16 on a GPU.
enum class BackendKind : uint8_t { kReference, kCpu, kCuda };

/// How backends without kernels for the file's formats keep weights: widened to their activations'
/// type, or in MLX's quantised forms, which takes a third of the memory of 4-bit files.
enum class WeightForm : uint8_t { kDense, kQuantised };

struct DeviceTraits {
  const char* name;               // as flags and reports say it
  BackendKind backend;            // the fast one
  bool has_own_memory = false;    // beside the machine's
  bool keeps_file_types = false;  // weights lie in the file's types; else each value takes 2 bytes
  bool takes_int8_kv = false;     // KvType::kInt8
  std::string_view f16_kv = {};   // what KvType::kF16 is kept as
  bool batch_invariant = false;   // a row's bits do not depend on the rows beside it
  bool compiles_kernels = false;  // at their first use
};

/// Returns what is true of a device.
const DeviceTraits& device_traits(DeviceKind device);

/// Returns the form in which a device of that much memory keeps weights of `dense_bytes`: dense,
/// where half of the memory holds them, since products of dense weights are the faster ones.
WeightForm weight_form(const DeviceTraits& device, int64_t dense_bytes, uint64_t memory_bytes);

/// Returns the bytes that a tensor takes on a device. Requires: the tensor is a weight.
int64_t kept_bytes(const DeviceTraits& device, WeightForm form, const store::TensorView& tensor);

/// Returns what a person means by "cpu", "cuda" or "auto": a GPU where this build and the machine
/// have one. Errors: kUnsupported, where a GPU is meant and there is none.
Result<DeviceKind> device_named(std::string_view name);

/// Says how a device keeps the values of that type: "f16", "bf16", "int8".
std::string_view kept_kv_type(const DeviceTraits& device, KvType type);

/// Says whether this build's MLX and the machine have a CUDA device.
bool has_gpu();

/// A GPU's own memory. Units: bytes.
struct GpuMemory {
  size_t bytes_total = 0;
  size_t bytes_free = 0;
};
/// Returns zeros where there is no GPU or MLX does not say.
GpuMemory gpu_memory();

}  // namespace pippin::nn
