#include "nn/backend/device.h"

#include <array>

#include "nn/cpu/linear.h"
#include "nn/reference/affine_matrix.h"
#include "store/tensor.h"

namespace pippin::nn {
namespace {

// The CPU's kernels keep the file's formats or ones near them.
int64_t packed_bytes(const store::TensorView& tensor) {
  if (is_affine(tensor.type)) return static_cast<int64_t>(tensor.stored_bytes());
  const auto bits = static_cast<double>(tensor.elements()) * cpu::packed_bits(tensor.type);
  return static_cast<int64_t>(bits / 8);
}

constexpr int64_t kDenseBytes = 2;  // of a value in bf16

// By DeviceKind.
constexpr std::array<DeviceTraits, 2> kDevices = {{
    {.name = "cpu",
     .backend = BackendKind::kCpu,
     .keeps_file_types = true,
     .takes_int8_kv = true,
     .f16_kv = "f16",
     .batch_invariant = true},
    {.name = "cuda",
     .backend = BackendKind::kCuda,
     .has_own_memory = true,
     .f16_kv = "bf16",
     .compiles_kernels = true},
}};

}  // namespace

const DeviceTraits& device_traits(DeviceKind device) {
  return kDevices.at(static_cast<size_t>(device));
}

WeightForm weight_form(const DeviceTraits& device, int64_t dense_bytes, uint64_t memory_bytes) {
  if (!device.has_own_memory || memory_bytes == 0) return WeightForm::kDense;
  const bool fits = static_cast<uint64_t>(dense_bytes) <= memory_bytes / 2;
  return fits ? WeightForm::kDense : WeightForm::kQuantised;
}

int64_t kept_bytes(const DeviceTraits& device, WeightForm form, const store::TensorView& tensor) {
  if (device.keeps_file_types) return packed_bytes(tensor);
  if (form == WeightForm::kQuantised) return affine_bytes(tensor);
  return tensor.elements() * kDenseBytes;
}

Result<DeviceKind> device_named(std::string_view name) {
  if (name == "cpu") return DeviceKind::kCpu;
  if (has_gpu()) return DeviceKind::kCuda;
  if (name == "auto") return DeviceKind::kCpu;
  return fail(Code::kUnsupported, "[nn] no CUDA device here, or this build has no CUDA backend",
              "--device");
}

std::string_view kept_kv_type(const DeviceTraits& device, KvType type) {
  return type == KvType::kF16 ? device.f16_kv : kv_type_name(type);
}

}  // namespace pippin::nn
