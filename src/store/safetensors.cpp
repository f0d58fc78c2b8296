#include "store/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <boost/json/array.hpp>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "base/json_read.h"
#include "store/quoted.h"

namespace pippin::store {
namespace {

namespace json = boost::json;

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kHeaderBytesMax = 100'000'000;  // the format's own bound
constexpr size_t kDimensionsMax = 8;

struct Dtype {
  std::string_view name;
  uint64_t bytes;
};
constexpr Dtype kDtypes[] = {
    {"F32", 4},  {"F16", 2}, {"BF16", 2},    {"U32", 4},     {"F64", 8},     {"I64", 8},
    {"U64", 8},  {"I32", 4}, {"I16", 2},     {"U16", 2},     {"I8", 1},      {"U8", 1},
    {"BOOL", 1}, {"C64", 8}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1},
};

Error wrong(const std::string& path, std::string_view what, Code code = Code::kInvalidFile) {
  return fail(code, fmt::format("[safetensors] {}: {}", path, what), path);
}

// Reads the tensors that a header lists.
class HeaderReader {
 public:
  HeaderReader(std::span<const std::byte> data, const std::string& path)
      : data_(data), path_(path) {}

  Result<std::vector<SafetensorsEntry>> run(std::string_view header) {
    ASSIGN_OR_RETURN(const json::object root,
                     parse_object(header, fmt::format("[safetensors] {}: the header", path_)));
    std::vector<SafetensorsEntry> entries;
    for (const auto& [key, value] : root) {
      const std::string_view name(key.data(), key.size());
      if (name == "__metadata__") continue;  // remarks; MLX writes null for none
      if (!value.is_object()) return bad(name, "expected an object");
      ASSIGN_OR_RETURN(SafetensorsEntry entry, read(name, value.get_object()));
      entries.push_back(std::move(entry));
    }
    RETURN_IF_ERROR(check_cover(entries));
    return entries;
  }

 private:
  Error bad(std::string_view name, std::string_view what, Code code = Code::kInvalidFile) const {
    return wrong(path_, fmt::format("tensor {}: {}", quoted(name), what), code);
  }

  Result<SafetensorsEntry> read(std::string_view name, const json::object& from) const {
    SafetensorsEntry entry;
    entry.name = name;
    const std::string_view word = string_in(from, "dtype");
    const auto* dtype = std::ranges::find(kDtypes, word, &Dtype::name);
    if (word.empty()) return bad(name, "expected a dtype");
    if (dtype == std::end(kDtypes))
      return bad(name, fmt::format("its dtype, {}, is not supported", quoted(word)),
                 Code::kUnsupported);
    entry.dtype = dtype->name;
    ASSIGN_OR_RETURN(const std::vector<int64_t> offsets, numbers(from, "data_offsets", name));
    ASSIGN_OR_RETURN(entry.shape, numbers(from, "shape", name));
    if (entry.shape.size() > kDimensionsMax)
      return bad(name, fmt::format("expected at most {} dimensions", kDimensionsMax));
    if (offsets.size() != 2) return bad(name, "expected two data_offsets");
    const auto begin = static_cast<uint64_t>(offsets[0]), end = static_cast<uint64_t>(offsets[1]);
    if (begin > end || end > data_.size())
      return bad(name, fmt::format("expected data_offsets within {} bytes, but found {} to {}; is "
                                   "the file complete?",
                                   data_.size(), begin, end));
    const std::optional<uint64_t> bytes = bytes_of(entry.shape, dtype->bytes);
    if (!bytes || *bytes != end - begin)
      return bad(name, fmt::format("its shape and dtype do not make {} bytes", end - begin));
    entry.bytes = data_.subspan(begin, end - begin);
    return entry;
  }

  // An array of numbers from 0 to 2^63 - 1.
  Result<std::vector<int64_t>> numbers(const json::object& from, std::string_view key,
                                       std::string_view name) const {
    const json::array* array = array_in(from, key);
    std::vector<int64_t> values;
    for (size_t i = 0; array != nullptr && i < array->size(); ++i) {
      const int64_t* value = (*array)[i].if_int64();
      if (value == nullptr || *value < 0) return bad(name, fmt::format("bad numbers in {}", key));
      values.push_back(*value);
    }
    if (array == nullptr) return bad(name, fmt::format("expected an array {}", key));
    return values;
  }

  // Nothing where a product of sizes could overflow, in whichever order it is taken.
  static std::optional<uint64_t> bytes_of(const std::vector<int64_t>& shape, uint64_t bytes) {
    constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
    for (const int64_t size : shape) {
      if (size > 0 && bytes > kMax / static_cast<uint64_t>(size)) return std::nullopt;
      if (size > 0) bytes *= static_cast<uint64_t>(size);
    }
    return std::ranges::find(shape, 0) != shape.end() ? 0 : bytes;
  }

  // Sorts the tensors by their bytes, which must follow each other from the first to the last.
  Result<void> check_cover(std::vector<SafetensorsEntry>& entries) const {
    std::ranges::sort(entries, {}, [](const SafetensorsEntry& entry) {
      return std::pair(entry.bytes.data(), entry.bytes.size());
    });
    const std::byte* at = data_.data();
    for (const SafetensorsEntry& entry : entries) {
      if (entry.bytes.data() != at)
        return bad(entry.name, entry.bytes.data() < at ? "it overlaps the tensor before it"
                                                       : "there are unused bytes before it");
      at += entry.bytes.size();
    }
    if (at != data_.data() + data_.size())
      return wrong(path_, "there are unused bytes behind the last tensor");
    return {};
  }

  const std::span<const std::byte> data_;
  const std::string& path_;
};

}  // namespace

Result<SafetensorsFile> SafetensorsFile::parse(std::span<const std::byte> bytes,
                                               const std::string& name) {
  SafetensorsFile file;
  file.path_ = name;
  file.file_bytes_ = bytes.size();
  if (bytes.size() < kLengthBytes) return wrong(name, "the file is too short");
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  const std::span<const std::byte> rest = bytes.subspan(kLengthBytes);
  if (length > kHeaderBytesMax || length > rest.size())
    return wrong(name, fmt::format("expected a header of at most {} bytes, but found {}; is the "
                                   "file complete?",
                                   std::min<uint64_t>(kHeaderBytesMax, rest.size()), length));
  const std::string_view header(reinterpret_cast<const char*>(rest.data()), length);
  ASSIGN_OR_RETURN(file.entries_, HeaderReader(rest.subspan(length), file.path_).run(header));
  return file;
}

Result<SafetensorsFile> SafetensorsFile::open(const std::string& path) {
  ASSIGN_OR_RETURN(MappedFile mapping, MappedFile::open(path));
  ASSIGN_OR_RETURN(SafetensorsFile file, parse(mapping.bytes(), path));
  file.mapping_ = std::move(mapping);
  return file;
}

}  // namespace pippin::store
