// The time of day, for what is told to people and kept in files; durations are measured by
// base/clock.h. Thread: any.
#pragma once

#include <chrono>
#include <cstdint>

namespace pippin {

/// Returns the seconds since 1970, UTC.
inline int64_t unix_now_s() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

}  // namespace pippin
