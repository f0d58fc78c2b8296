// Hasher: SHA-256, or git's SHA-1 of a blob, of bytes that come in order. Internal to hub. Thread:
// one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace pippin::hub {

enum class HashKind : uint8_t {
  kNone,     // the server names no hash
  kSha256,   // of the bytes
  kGitSha1,  // of "blob SIZE\0" and the bytes: what git calls a file
};

class Hasher {
 public:
  /// `bytes`: the size of all that will come, which git's hash begins with.
  Hasher(HashKind kind, uint64_t bytes);
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void update(const void* data, size_t bytes);
  /// Returns the digest's hexadecimal digits; empty for kNone. Called once.
  std::string finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Returns the sha256 of bytes in memory, hexadecimal.
std::string sha256_hex(std::string_view bytes);

}  // namespace pippin::hub
