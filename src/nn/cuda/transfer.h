// Transfer: small lists of integers between the host and the device, through pinned memory, which
// both sides reach. MLX keeps host values in managed memory, whose pages migrate: each list costs
// the device some 100 us. Reading a result leaves its pages on the host, for the next kernel to
// fetch. Owner: the context. Thread: the device thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "mlx/array.h"

namespace pippin::nn::cuda {

class PinnedPool;

/// Values on their way to the host.
class PendingRead {
 public:
  PendingRead(mlx::core::array sent, mlx::core::array values)
      : sent_(std::move(sent)), values_(std::move(values)) {}

  /// What to evaluate so that the values come.
  const mlx::core::array& sent() const { return sent_; }
  /// Waits, and returns the values, which live as long as this does.
  const int32_t* read();

 private:
  mlx::core::array sent_;
  mlx::core::array values_;
};

class Transfer {
 public:
  Transfer();
  ~Transfer();

  /// Returns the values in the device's own memory. Shapes: [N] int32.
  mlx::core::array to_device(const std::vector<int32_t>& values);
  /// Sends an int32 array to the host once it is there.
  PendingRead to_host(const mlx::core::array& values);

 private:
  std::shared_ptr<PinnedPool> pool_;  // null where the driver has no pinned memory for us
};

}  // namespace pippin::nn::cuda
