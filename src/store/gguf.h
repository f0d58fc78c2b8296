// GgufFile: a GGUF v2 or v3 file, mapped read-only. Every count, offset, dimension and string is
// checked against the file's size before use.
// Owner: the loader; views borrow from it. Thread: const after open, so any. A file that another
// process shortens while it is mapped is out of scope (mapped_file.h).
// Source: the GGUF specification (ggml, docs/gguf.md).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "store/tensor.h"

namespace pippin::store {

/// A metadata array. Numbers are widened; strings borrow from the mapping.
using GgufArray = std::variant<std::vector<int64_t>, std::vector<double>, std::vector<bool>,
                               std::vector<std::string_view>>;
/// A metadata value. Integers are int64_t; uint64_t only where the value exceeds it. Strings borrow
/// from the mapping and are valid UTF-8 only where checked by the reader of the key; floats may be
/// NaN or infinite.
using GgufValue = std::variant<int64_t, uint64_t, double, bool, std::string_view, GgufArray>;

struct GgufSplit;

class GgufFile {
 public:
  /// Maps and checks a file. Of a model that is split over several files, NAME-00001-of-00003.gguf
  /// and so on, any of them means all: their tensors, and the first one's path and metadata.
  /// Errors: kNotFound, kPermissionDenied; kInvalidFile, naming the file
  /// and the first thing that is wrong; kUnsupported for another version, byte order or tensor
  /// type, and for an array of arrays.
  static Result<GgufFile> open(const std::string& path);
  /// The same for a file in memory; `name` stands for the path. Requires: `bytes` outlive the
  /// result.
  static Result<GgufFile> parse(std::span<const std::byte> bytes, const std::string& name);
  /// The same for the beginning of a file of `file_bytes`: its metadata and tensor table, the
  /// tensors without bytes. Returns nothing when `head` ends before they do.
  static Result<std::optional<GgufFile>> parse_head(std::span<const std::byte> head,
                                                    uint64_t file_bytes, const std::string& name);

  GgufFile(GgufFile&&) noexcept;
  GgufFile& operator=(GgufFile&&) noexcept;
  ~GgufFile();

  const std::string& path() const;
  uint64_t file_bytes() const;

  const GgufValue* find(std::string_view key) const;
  /// Typed look-ups; an integer counts as a number, too. Errors: kInvalidFile naming the key, when
  /// it is absent or of another kind.
  Result<int64_t> integer(std::string_view key) const;
  Result<double> number(std::string_view key) const;
  Result<bool> boolean(std::string_view key) const;
  Result<std::string_view> string(std::string_view key) const;
  Result<const std::vector<std::string_view>*> strings(std::string_view key) const;
  Result<const std::vector<int64_t>*> integers(std::string_view key) const;
  Result<const std::vector<double>*> numbers(std::string_view key) const;
  /// The same with a default for an absent key; a present key of another kind is still an error.
  Result<int64_t> integer_or(std::string_view key, int64_t otherwise) const;
  Result<double> number_or(std::string_view key, double otherwise) const;
  Result<bool> boolean_or(std::string_view key, bool otherwise) const;

  /// All keys, in the file's order; no key twice.
  const std::vector<std::pair<std::string_view, GgufValue>>& metadata() const;
  /// All tensors, in the file's order; no name twice, no byte shared. Their bytes start at
  /// multiples of 8 at least, if the file is mapped.
  const std::vector<TensorView>& tensors() const;
  /// Returns the tensor of that name, or null.
  const TensorView* tensor(std::string_view name) const;

 private:
  struct Impl;
  static Result<GgufFile> open_part(const std::string& path);
  static Result<GgufFile> open_other(const std::string& path, const GgufSplit& split, int part);
  static Result<GgufFile> join(GgufFile first, const GgufSplit& split);
  static Result<GgufFile> adopt(std::unique_ptr<Impl> impl, std::span<const std::byte> bytes);
  static Result<GgufFile> index(std::unique_ptr<Impl> impl);
  explicit GgufFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pippin::store
