// SafetensorsFile: one file of tensors in Hugging Face's format, mapped read-only. The header is
// hostile until checked: its length, its JSON, every dtype, shape and offset.
// Owner: the folder of a model; spans borrow from it. Thread: const after open, so any. A file that
// another process shortens while it is mapped is out of scope (mapped_file.h).
// Source: the format's description in the safetensors repository.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/mapped_file.h"

namespace pippin::store {

/// A tensor as the file has it.
struct SafetensorsEntry {
  std::string name;
  std::string_view dtype;            // "F32", "BF16", "U32", ...: the format's own word
  std::vector<int64_t> shape;        // outermost first; empty: one number
  std::span<const std::byte> bytes;  // elements of the dtype without gaps; at any address
};

class SafetensorsFile {
 public:
  /// Maps and checks a file. Errors: kNotFound, kPermissionDenied; kInvalidFile, naming the file
  /// and the first thing that is wrong; kUnsupported for a dtype that is not known.
  static Result<SafetensorsFile> open(const std::string& path);
  /// The same for a file in memory; `name` stands for the path. Requires: `bytes` outlive the
  /// result.
  static Result<SafetensorsFile> parse(std::span<const std::byte> bytes, const std::string& name);

  const std::string& path() const { return path_; }
  uint64_t file_bytes() const { return file_bytes_; }
  /// All tensors in the order of their bytes; no name twice, no byte shared, none left over.
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }

 private:
  std::string path_;
  MappedFile mapping_;  // empty when the caller owns the bytes
  uint64_t file_bytes_ = 0;
  std::vector<SafetensorsEntry> entries_;
};

}  // namespace pippin::store
