// FileLock: one writer at a time, across processes. Internal to hub.
#pragma once

#include <filesystem>
#include <functional>

#include "base/files.h"
#include "base/result.h"
#include "hub/cancel.h"

namespace pippin::hub {

/// A lock that other processes see: flock on a file, as huggingface_hub's filelock does. Held until
/// the object ends, or the process does. The file stays: removing it would split who waits.
class FileLock {
 public:
  /// Waits for the lock; calls `waiting` once if it is taken. Errors: kCancelled; kUnavailable.
  static Result<FileLock> take(const std::filesystem::path& file, const Cancel& cancel,
                               const std::function<void()>& waiting);
  /// The same without waiting. Errors: kUnavailable, also where somebody holds it.
  static Result<FileLock> try_take(const std::filesystem::path& file);

 private:
  explicit FileLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace pippin::hub
