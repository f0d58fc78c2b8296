// MappedFile: a regular file mapped read-only for its own lifetime. Thread: const after open, so
// any. Pages are private to this process, but a file that another process shortens while it is
// mapped still takes the process down (SIGBUS) on the next access behind its new end: replace model
// files by renaming, never in place.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"

namespace pippin::store {

class MappedFile {
 public:
  /// Errors: kNotFound; kPermissionDenied; kInvalidFile when it is no regular file or is empty;
  /// kUnavailable when the system refuses to map it.
  static Result<MappedFile> open(const std::string& path);

  MappedFile() = default;  // maps nothing
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

}  // namespace pippin::store
