// GgufSplit: what a GGUF file says of being one part of several. Internal to store.
// Source: the split.* keys of llama.cpp's gguf-split.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "store/gguf.h"

namespace pippin::store {

struct GgufSplit {
  int part = 0;  // from 0 on
  int parts = 1;
  int64_t tensors = 0;  // of all parts together
};
/// Errors: kInvalidFile, naming the key.
Result<GgufSplit> gguf_split(const GgufFile& file);

/// Returns the path of another part, from 0 on. Errors: kInvalidFile, where the path does not end
/// as the name of its own part does.
Result<std::string> gguf_part_path(const std::string& path, const GgufSplit& own, int part);

}  // namespace pippin::store
