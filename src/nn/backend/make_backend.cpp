// The table of backends: the one place that names them all.
#include "nn/backend/backend.h"

#include <cstdlib>

#include "base/check.h"
#include "mlx/device.h"
#include "mlx/memory.h"
#include "nn/cpu/backend/cpu_backend.h"
#include "nn/cuda/cuda_backend.h"
#include "nn/reference/reference_backend.h"

namespace pippin::nn {
namespace {

#ifdef PIPPIN_MLX_CUDA
// Freed buffers that MLX keeps for its next steps; without a limit it keeps all that the card has.
constexpr size_t kGpuCacheBytes = size_t{1} << 30;
#endif

Result<std::unique_ptr<Backend>> make_cpu(const BackendOptions& options) {
  ASSIGN_OR_RETURN(const cpu::Isa isa, cpu::select_isa());
  mx::set_default_device(mx::Device(mx::Device::cpu));
  const int threads = options.threads > 0 ? options.threads : allowed_cpus();
  const auto activations =
      options.exact_activations ? cpu::Activations::kF32 : cpu::Activations::kInt8;
  return std::unique_ptr<Backend>(std::make_unique<CpuBackend>(isa, threads, activations));
}

Result<void> open_gpu() {
  // MLX reads these at its first CUDA call. Its graph cache counts misses over a process's life
  // and throws at twice its size, which a server reaches in hours.
  setenv("MLX_ENABLE_CACHE_THRASHING_CHECK", "0", 0);
  setenv("MLX_CUDA_GRAPH_CACHE_SIZE", "2000", 0);
  if (!has_gpu())
    return fail(Code::kUnsupported, "[nn] no CUDA device, or this build's MLX has no CUDA backend");
  mx::set_default_device(mx::Device(mx::Device::gpu));
#ifdef PIPPIN_MLX_CUDA
  mx::set_cache_limit(kGpuCacheBytes);
#endif
  return {};
}

}  // namespace

std::unique_ptr<SampledIds> Backend::greedy_sample(const mx::array& /*logits*/) {
  CHECK(false, "this backend does not sample");
  return nullptr;
}

Result<std::unique_ptr<Backend>> make_backend(const BackendOptions& options) {
  if (options.kind == BackendKind::kCpu) return make_cpu(options);
  if (options.kind == BackendKind::kCuda) {
    RETURN_IF_ERROR(open_gpu());
    return std::unique_ptr<Backend>(std::make_unique<CudaBackend>(options.weights));
  }
  if (options.on_gpu) {
    RETURN_IF_ERROR(open_gpu());
    return std::unique_ptr<Backend>(
        std::make_unique<ReferenceBackend>(mx::bfloat16, options.weights));
  }
  // f32 throughout; on a GPU MLX would round matmuls' inputs to TF32. Read at its first CUDA call.
  setenv("MLX_ENABLE_TF32", "0", 0);
  return std::unique_ptr<Backend>(std::make_unique<ReferenceBackend>(mx::float32, options.weights));
}

}  // namespace pippin::nn
