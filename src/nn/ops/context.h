// Context: what every op needs to know of where it runs. Passed to each op; owned by the device's
// runner. Thread: the device thread.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/thread_pool.h"
#include "mlx/array.h"
#include "mlx/dtype.h"
#include "nn/cpu/linear.h"

namespace pippin::nn::cuda {
class Transfer;
}

namespace pippin::nn {

namespace mx = mlx::core;

/// kStock builds graphs of stock MLX ops, right on every device and the oracle of the others. kCpu
/// runs our kernels at once, on evaluated arrays: no graph, no hand-over to another thread. kCuda
/// builds graphs too, with our kernels where stock ops are slow or many.
enum class Backend : uint8_t { kStock, kCpu, kCuda };

class BufferPool;

struct Context {
  Backend backend = Backend::kCpu;
  /// Dtype of activations and of the stock backend's dense weights and KV: f32 on the CPU, bf16 on
  /// GPUs.
  mx::Dtype dtype = mx::float32;
  cpu::Isa isa = cpu::Isa::kPortable;
  cpu::Activations activations = cpu::Activations::kInt8;
  std::shared_ptr<ThreadPool> pool;
  std::shared_ptr<cpu::LinearScratch> scratch;
  std::shared_ptr<cpu::WeightArena> weights;
  std::shared_ptr<BufferPool> buffers;
  std::shared_ptr<cuda::Transfer> transfer;  // of kCuda
};

/// Returns a context for this machine's CPU, which becomes MLX's default device. Errors:
/// kUnsupported, when PIPPIN_CPU_ISA forces a path that cannot run here.
Result<Context> cpu_context(int threads);
/// Returns a context of stock ops on MLX's default device: f32 is the reference, bf16 is for GPUs.
Context stock_context(mx::Dtype dtype);
/// Returns a context of stock ops and our CUDA kernels, bf16, on the GPU, which becomes MLX's
/// default device. Errors: kUnsupported, when this build or this machine has no CUDA device.
Result<Context> cuda_context();

/// Says whether this build's MLX and the machine have a CUDA device.
bool has_gpu();
/// A GPU's own memory. Units: bytes.
struct GpuMemory {
  size_t bytes_total = 0;
  size_t bytes_free = 0;
};
/// Returns zeros where there is no GPU or MLX does not say.
GpuMemory gpu_memory();

/// Returns an uninitialised, evaluated array in 64-byte aligned memory that goes back to the pool
/// with the last handle.
mx::array allocate(const Context& ctx, mx::Shape shape, mx::Dtype dtype);

/// Small weights (norms, biases, rope frequencies): on the host, and as an array where ops want
/// one. Immutable once filled.
class FloatVector {
 public:
  FloatVector() = default;
  FloatVector(std::vector<float> values)
      : values_(std::move(values)) {}  // NOLINT: implicit on purpose

  bool empty() const { return values_.empty(); }
  size_t size() const { return values_.size(); }
  /// Returns the values, or null if there are none.
  const float* data() const { return values_.empty() ? nullptr : values_.data(); }
  const std::vector<float>& values() const { return values_; }
  /// Returns the values as an array [n] of `dtype`, made at the first call.
  const mx::array& array(mx::Dtype dtype = mx::float32) const;

 private:
  std::vector<float> values_;
  mutable std::optional<mx::array> array_;
};

/// Returns the contiguous f32 values of an evaluated array; evaluates and copies where it has to.
mx::array host_ready(const mx::array& a);

}  // namespace pippin::nn
