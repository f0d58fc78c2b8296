// BlockName: the content hash by which a KV block is found, and BlockNamer, which makes it.
// A name covers the block's tokens and everything before them: name = SHA-256(parent name, token
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

/// A SHA-256 digest. Two blocks with one name hold the same keys and values.
struct BlockName {
  std::array<uint8_t, 32> bytes{};
  bool operator==(const BlockName&) const = default;
};

/// Source: FIPS 180-4 (SHA-256).
class BlockNamer {
 public:
  BlockNamer();
  ~BlockNamer();
  BlockNamer(const BlockNamer&) = delete;
  BlockNamer& operator=(const BlockNamer&) = delete;

  /// Returns the parent of a sequence's first block. The salt holds what all its blocks depend on:
  /// model, adapter, tenant.
  BlockName root(std::string_view salt);

  /// Returns the name of the block that follows `parent`. The salt holds what this block alone
  /// depends on (media hashes). Cost: about a quarter of a microsecond for 16 tokens where the CPU
  /// has SHA instructions.
  BlockName child(const BlockName& parent, std::span<const Token> tokens,
                  std::string_view salt = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pippin::engine

template <>
struct std::hash<pippin::engine::BlockName> {
  size_t operator()(const pippin::engine::BlockName& name) const noexcept {
    size_t word = 0;  // any part of a digest is as good as a hash of it
    std::memcpy(&word, name.bytes.data(), sizeof(word));
    return word;
  }
};
