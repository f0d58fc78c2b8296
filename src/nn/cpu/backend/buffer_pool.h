// BufferPool: memory of activations. Keeps freed buffers by power-of-two size. Activations have the
// same few sizes at every step, and fresh pages cost more than small kernels do.
// Owner: the CPU's backend. Thread: the device thread.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "mlx/array.h"

namespace pippin::nn {

class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  ~BufferPool();
  /// Returns 64-byte aligned memory, not initialised, that comes back with the last handle.
  mlx::core::allocator::Data take(size_t bytes);

 private:
  void keep(void* base, int size_class);

  std::vector<void*> free_[64];
};

}  // namespace pippin::nn
