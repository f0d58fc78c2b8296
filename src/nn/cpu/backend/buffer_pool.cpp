#include "nn/cpu/backend/buffer_pool.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <functional>
#include <new>

namespace pippin::nn {
namespace {

namespace mx = mlx::core;

// What MLX keeps of a buffer, for buffers that are ours. Its CPU allocator holds the size in the 8
// bytes before the data, its CUDA allocator this record. Device -1 is memory that the host may
// read. Source: mlx/backend/cuda/allocator.h, CudaBuffer.
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

}  // namespace

BufferPool::~BufferPool() {
  for (auto& list : free_)
    for (void* p : list) std::free(p);
}

mx::allocator::Data BufferPool::take(size_t bytes) {
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
  std::function<void(mx::allocator::Buffer)> give_back = [pool = weak_from_this(), at = base.get(),
                                                          size_class](mx::allocator::Buffer) {
    if (auto alive = pool.lock()) {
      alive->keep(at, size_class);
    } else {
      std::free(at);
    }
  };
  return {record_buffer(base.release(), bytes), std::move(give_back)};
}

void BufferPool::keep(void* base, int size_class) {
  try {
    free_[size_class].push_back(base);
  } catch (const std::bad_alloc&) {
    std::free(base);
  }
}

}  // namespace pippin::nn
