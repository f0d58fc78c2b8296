// BlockHash: the content hash by which a KV block is found, and BlockHasher, which makes it.
// A hash covers the block's tokens and everything before them: hash = SHA-256(parent's hash, token
// ids, salt).
// Owner: the prefix cache. Thread: one at a time.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "engine/core/types.h"

namespace pippin::engine {

/// A SHA-256 digest. Two blocks with one hash hold the same keys and values.
struct BlockHash {
  std::array<uint8_t, 32> bytes{};
  bool operator==(const BlockHash&) const = default;
};

/// Source: FIPS 180-4 (SHA-256).
class BlockHasher {
 public:
  BlockHasher();
  ~BlockHasher();
  BlockHasher(const BlockHasher&) = delete;
  BlockHasher& operator=(const BlockHasher&) = delete;

  /// Returns the parent of a sequence's first block. The salt holds what all its blocks depend on:
  /// model, adapter, tenant.
  BlockHash root(std::string_view salt);

  /// Returns the hash of the block that follows `parent`. The salt holds what only this block
  /// depends on: media hashes, stated positions. Cost: about 0.25 us for 16 tokens where the CPU
  /// has SHA instructions.
  BlockHash child(const BlockHash& parent, std::span<const Token> tokens,
                  std::string_view salt = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pippin::engine

template <>
struct std::hash<pippin::engine::BlockHash> {
  size_t operator()(const pippin::engine::BlockHash& key) const noexcept {
    size_t word = 0;  // any part of a digest is as good as a hash of it
    std::memcpy(&word, key.bytes.data(), sizeof(word));
    return word;
  }
};
