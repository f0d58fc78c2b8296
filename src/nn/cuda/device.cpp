// What the machine has of GPUs.
#include "mlx/device.h"
#include "mlx/memory.h"
#include "nn/backend/backend.h"

namespace pippin::nn {

bool has_gpu() {
#ifdef PIPPIN_MLX_CUDA
  return mx::is_available(mx::Device(mx::Device::gpu)) && mx::device_count(mx::Device::gpu) > 0;
#else
  return false;
#endif
}

GpuMemory gpu_memory() {
  GpuMemory memory;
  if (!has_gpu()) return memory;
  const auto& info = mx::device_info(mx::Device(mx::Device::gpu));
  const auto read = [&](const char* key) -> size_t {
    const auto found = info.find(key);
    const size_t* bytes = found == info.end() ? nullptr : std::get_if<size_t>(&found->second);
    return bytes == nullptr ? 0 : *bytes;
  };
  memory.bytes_total = read("total_memory");
  memory.bytes_free = read("free_memory");
  return memory;
}

}  // namespace pippin::nn
