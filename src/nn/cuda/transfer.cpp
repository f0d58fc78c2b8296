#include "nn/cuda/transfer.h"

#include <dlfcn.h>

#include <algorithm>
#include <bit>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "mlx/allocator.h"
#include "mlx/fast.h"
#include "mlx/ops.h"
#include "mlx/version.h"

namespace pippin::nn::cuda {
namespace {

namespace mx = mlx::core;

constexpr int kThreads = 256;
constexpr size_t kPinnedBytesMin = 4096;
constexpr unsigned kPortableAndMapped = 3;  // CU_MEMHOSTALLOC_PORTABLE | _DEVICEMAP

// How MLX's CUDA backend describes a buffer. Source: mlx/backend/cuda/allocator.h, whose CUDA
// headers a build without the toolkit does not have; hence only for the version that was read.
constexpr std::string_view kKnownMlx = "0.32.4";
struct CudaBuffer {
  void* data;
  size_t bytes;
  int device;  // -1: memory that the host reaches, too
};

using AllocateHost = int (*)(void** out, size_t bytes, unsigned flags);

// MLX has loaded the driver; we do not link it.
AllocateHost find_allocate_host() {
  if (mx::version() != kKnownMlx) return nullptr;
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
  if (driver == nullptr) return nullptr;
  return reinterpret_cast<AllocateHost>(dlsym(driver, "cuMemHostAlloc"));
}

constexpr const char* kCopySource = R"(
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < from_shape[0]) to[i] = from[i];
)";

constexpr const char* kPostSource = R"(
  for (int i = threadIdx.x; i < from_shape[0]; i += blockDim.x) const_cast<int*>(box)[i] = from[i];
  if (threadIdx.x == 0) sent[0] = 1;
)";

}  // namespace

// Pinned blocks by size, kept until the end: to allocate one stops the device. Blocks come back
// from MLX's threads.
class PinnedPool : public std::enable_shared_from_this<PinnedPool> {
 public:
  explicit PinnedPool(AllocateHost allocate) : allocate_(allocate) {}

  /// Returns [count] int32 in pinned memory, or nothing if there is none left.
  std::optional<mx::array> take(int count) {
    const size_t bytes =
        std::bit_ceil(std::max(kPinnedBytesMin, static_cast<size_t>(count) * sizeof(int32_t)));
    void* block = take_block(bytes);
    if (block == nullptr) return std::nullopt;
    auto* buffer = new CudaBuffer{block, bytes, -1};
    mx::allocator::Data data(mx::allocator::Buffer(buffer),
                             [pool = shared_from_this()](mx::allocator::Buffer done) {
                               auto* gone = static_cast<CudaBuffer*>(done.ptr());
                               pool->give_block(gone->data, gone->bytes);
                               delete gone;
                             });
    return mx::array(std::move(data), mx::Shape{count}, mx::int32);
  }

 private:
  void* take_block(size_t bytes) {
    const std::lock_guard lock(mutex_);
    std::vector<void*>& idle = idle_[bytes];
    if (!idle.empty()) {
      void* block = idle.back();
      idle.pop_back();
      return block;
    }
    void* block = nullptr;
    return allocate_(&block, bytes, kPortableAndMapped) == 0 ? block : nullptr;
  }

  void give_block(void* block, size_t bytes) {
    const std::lock_guard lock(mutex_);
    idle_[bytes].push_back(block);
  }

  const AllocateHost allocate_;
  std::mutex mutex_;
  std::map<size_t, std::vector<void*>> idle_;
};

Transfer::Transfer() {
  if (const AllocateHost allocate = find_allocate_host())
    pool_ = std::make_shared<PinnedPool>(allocate);
}

Transfer::~Transfer() = default;

mx::array Transfer::to_device(const std::vector<int32_t>& values) {
  static const auto kernel = mx::fast::cuda_kernel("pippin_copy", {"from"}, {"to"}, kCopySource);
  const int count = static_cast<int>(values.size());
  std::optional<mx::array> pinned = pool_ ? pool_->take(count) : std::nullopt;
  if (!pinned) return mx::array(values.begin(), mx::Shape{count}, mx::int32);
  std::ranges::copy(values, pinned->data<int32_t>());
  const int blocks = (count + kThreads - 1) / kThreads;
  return kernel({*pinned}, {{count}}, {mx::int32}, {blocks * kThreads, 1, 1}, {kThreads, 1, 1}, {},
                std::nullopt, false, {})[0];
}

PendingRead Transfer::to_host(const mx::array& values) {
  static const auto kernel =
      mx::fast::cuda_kernel("pippin_post", {"from", "box"}, {"sent"}, kPostSource);
  std::optional<mx::array> box = pool_ ? pool_->take(values.shape(0)) : std::nullopt;
  if (!box) return {values, values};
  const mx::array sent = kernel({values, *box}, {{1}}, {mx::int32}, {kThreads, 1, 1},
                                {kThreads, 1, 1}, {}, std::nullopt, false, {})[0];
  return {sent, *std::move(box)};
}

const int32_t* PendingRead::read() {
  sent_.eval();
  return values_.data<int32_t>();
}

}  // namespace pippin::nn::cuda
