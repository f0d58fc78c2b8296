#include "nn/ops/context.h"

#include <bit>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <vector>

#include "mlx/device.h"
#include "mlx/memory.h"
#include "mlx/ops.h"
#include "mlx/transforms.h"
#include "nn/cuda/transfer.h"

namespace pippin::nn {
namespace {

// What MLX keeps of a buffer, for buffers that are ours: its CPU allocator holds the size in the 8
// bytes before the data; its CUDA allocator a record of this form, device -1 being memory that the
// host may read. Source: mlx/backend/cuda/allocator.h, CudaBuffer.
#ifdef PIPPIN_MLX_CUDA
struct BufferRecord {
  void* data;
  size_t bytes;
  int device = -1;
};
#else
struct BufferRecord {
  BufferRecord(void*, size_t n) : bytes(n) {}
  size_t bytes;
};
#endif

constexpr size_t kLine = 64;  // data lies on a cache line

// Writes the record right before the data, which follows `base` by a line.
mx::allocator::Buffer record_buffer(void* base, size_t bytes) {
  char* data = static_cast<char*>(base) + kLine;
  return mx::allocator::Buffer(new (data - sizeof(BufferRecord)) BufferRecord{data, bytes});
}

#ifdef PIPPIN_MLX_CUDA
// Freed buffers that MLX keeps for its next steps; without a limit it keeps all that the card has.
constexpr size_t kGpuCacheBytes = size_t{1} << 30;
#endif

}  // namespace

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
    // Freed if what follows runs out of memory.
    std::unique_ptr<void, decltype(&std::free)> base(nullptr, std::free);
    if (auto& list = free_[size_class]; !list.empty()) {
      base.reset(list.back());
      list.pop_back();
    } else {
      base.reset(std::aligned_alloc(kLine, (size_t{1} << size_class) + kLine));
      if (base == nullptr) throw std::bad_alloc();
    }
    std::function<void(mx::allocator::Buffer)> give_back =
        [pool = weak_from_this(), at = base.get(), size_class](mx::allocator::Buffer) {
          if (auto alive = pool.lock()) {
            alive->keep(at, size_class);
          } else {
            std::free(at);
          }
        };
    return {record_buffer(base.release(), bytes), std::move(give_back)};
  }

 private:
  void keep(void* base, int size_class) {
    try {
      free_[size_class].push_back(base);
    } catch (const std::bad_alloc&) {
      std::free(base);
    }
  }

  std::vector<void*> free_[64];
};

Result<Context> cpu_context(int threads) {
  ASSIGN_OR_RETURN(const cpu::Isa isa, cpu::select_isa());
  mx::set_default_device(mx::Device(mx::Device::cpu));
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
  if (!has_gpu()) {
    return fail(Code::kUnsupported, "[nn] no CUDA device, or this build's MLX has no CUDA backend");
  }
  mx::set_default_device(mx::Device(mx::Device::gpu));
  Context ctx;
  ctx.backend = Backend::kCuda;
#ifdef PIPPIN_MLX_CUDA
  mx::set_cache_limit(kGpuCacheBytes);
#endif
  ctx.transfer = std::make_shared<cuda::Transfer>();
  ctx.dtype = mx::bfloat16;
  return ctx;
}

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
