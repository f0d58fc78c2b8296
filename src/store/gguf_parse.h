// parse_gguf: the bytes of a GGUF file to its metadata and tensors. Internal to store; GgufFile
// (gguf.h) is the door.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "store/gguf.h"

namespace pippin::store {

struct GgufContents {
  std::vector<std::pair<std::string_view, GgufValue>>
      metadata;  // file order; duplicates not yet refused
  std::vector<TensorView> tensors;
};

/// Reads and checks everything but the uniqueness of names. Views borrow from `bytes`; `path` is
/// for messages. Allocates less than ten times bytes.size(), whatever the bytes say. Errors:
/// kInvalidFile, kUnsupported.
Result<GgufContents> parse_gguf(std::span<const std::byte> bytes, const std::string& path);

/// The same for the beginning of a file of `file_bytes`, whose tensors get no bytes. Returns
/// nothing when the metadata and the tensor table go on beyond it. Errors: as above.
Result<std::optional<GgufContents>> parse_gguf_head(std::span<const std::byte> head,
                                                    uint64_t file_bytes, const std::string& path);

/// Returns the error "[gguf] PATH: WHAT".
Error gguf_error(Code code, const std::string& path, std::string_view what);

}  // namespace pippin::store
