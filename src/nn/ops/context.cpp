#include "nn/ops/context.h"

#include <bit>
#include <cstdlib>
#include <vector>

#include "mlx/device.h"
#include "mlx/ops.h"
#include "mlx/transforms.h"
#include "nn/cuda/transfer.h"

namespace pippin::nn {

// Keeps freed activation buffers by power-of-two size. Activations have the same few sizes at
// every step, and fresh pages cost more than the small kernels that fill them. Thread: the device
// thread.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  ~BufferPool() {
    for (auto& list : free_)
      for (void* p : list) std::free(p);
  }

  mx::allocator::Data take(size_t bytes) {
    const int size_class = std::bit_width(std::max<size_t>(bytes, 64) - 1);
    void* base = nullptr;
    if (auto& list = free_[size_class]; !list.empty()) {
      base = list.back();
      list.pop_back();
    } else {
      base = std::aligned_alloc(64, (size_t{1} << size_class) + 64);
      if (base == nullptr) throw std::bad_alloc();
    }
    // MLX's CPU buffers hold their size in the 8 bytes before the data; ours do the same, with
    // the data on a cache line.
    auto* header = reinterpret_cast<size_t*>(static_cast<char*>(base) + 64 - sizeof(size_t));
    *header = bytes;
    return mx::allocator::Data(mx::allocator::Buffer(header),
                               [pool = weak_from_this(), base, size_class](mx::allocator::Buffer) {
                                 if (auto alive = pool.lock()) {
                                   alive->free_[size_class].push_back(base);
                                 } else {
                                   std::free(base);
                                 }
                               });
  }

 private:
  std::vector<void*> free_[64];
};

Result<Context> cpu_context(int threads) {
  ASSIGN_OR_RETURN(const cpu::Isa isa, cpu::select_isa());
  Context ctx;
  ctx.backend = Backend::kCpu;
  ctx.isa = isa;
  ctx.pool = std::make_shared<ThreadPool>(threads);
  ctx.scratch = std::make_shared<cpu::LinearScratch>();
  ctx.weights = std::make_shared<cpu::WeightArena>();
  ctx.buffers = std::make_shared<BufferPool>();
  return ctx;
}

Context stock_context(mx::Dtype dtype) {
  // The reference is f32 throughout; on a GPU MLX would round matmuls' inputs to TF32. Read by MLX
  // at its first CUDA call.
  if (dtype == mx::float32) setenv("MLX_ENABLE_TF32", "0", 0);
  Context ctx;
  ctx.backend = Backend::kStock;
  ctx.dtype = dtype;
  return ctx;
}

Result<Context> cuda_context() {
  // MLX reads these at its first CUDA call. Its graph cache counts misses over a process's life
  // and throws at twice its size, which a server reaches in hours.
  setenv("MLX_ENABLE_CACHE_THRASHING_CHECK", "0", 0);
  setenv("MLX_CUDA_GRAPH_CACHE_SIZE", "2000", 0);
  if (!mx::is_available(mx::Device(mx::Device::gpu))) {
    return fail(Code::kUnsupported, "[nn] no CUDA device, or this build's MLX has no CUDA backend");
  }
  mx::set_default_device(mx::Device(mx::Device::gpu));
  Context ctx;
  ctx.backend = Backend::kCuda;
  ctx.transfer = std::make_shared<cuda::Transfer>();
  ctx.dtype = mx::bfloat16;
  return ctx;
}

const mx::array& FloatVector::array(mx::Dtype dtype) const {
  if (!array_ || array_->dtype() != dtype) {
    const mx::array host(values_.begin(), mx::Shape{static_cast<int>(values_.size())}, mx::float32);
    array_ = dtype == mx::float32 ? host : mx::astype(host, dtype);
    array_->eval();
  }
  return *array_;
}

mx::array allocate(const Context& ctx, mx::Shape shape, mx::Dtype dtype) {
  size_t bytes = mx::size_of(dtype);
  for (int d : shape) bytes *= static_cast<size_t>(d);
  CHECK(ctx.buffers != nullptr, "allocate needs the CPU context");
  return mx::array(ctx.buffers->take(bytes), std::move(shape), dtype);
}

mx::array host_ready(const mx::array& a) {
  mx::array b = a.dtype() == mx::float32 ? a : mx::astype(a, mx::float32);
  if (b.is_available() && b.flags().row_contiguous) return b;
  b = mx::contiguous(b);
  b.eval();
  return b;
}

}  // namespace pippin::nn
