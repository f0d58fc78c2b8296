#include "store/gguf_parse.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>

#include "store/gguf_types.h"
#include "store/quoted.h"

namespace pippin::store {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF is read as little-endian");

// The specification's bound on keys; tensor names get the same, as files beyond ggml's own 64 bytes
// exist.
constexpr uint64_t kNameBytesMax = 65535;
constexpr uint64_t kDimensionsMax = 4;
constexpr uint64_t kAlignmentDefault = 32;
// Below 8 the views would not be aligned for any element; above 64 KiB no writer pads.
constexpr uint64_t kAlignmentMin = 8, kAlignmentMax = 65536;
// The least bytes of one entry: a name (length and one byte), a type, and a value; dimension,
// offset.
constexpr uint64_t kMetadataEntryBytesMin = 8 + 1 + 4 + 1;
constexpr uint64_t kTensorEntryBytesMin = 8 + 1 + 4 + 8 + 4 + 8;

enum class ValueType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// What a read is for, in messages: words of ours, or a name from the file, which is quoted only
// when it is shown.
struct What {
  What(const char* words) : text(words) {}  // NOLINT: implicit on purpose
  explicit What(std::string_view name) : text(name), is_name(true) {}
  std::string shown() const { return is_name ? quoted(text) : std::string(text); }
  std::string_view text;
  bool is_name = false;
};

struct TensorEntry {
  TensorView view;  // bytes are set once the start of the data is known
  uint64_t offset = 0;
};

class Parser {
 public:
  /// `bytes` may be the beginning of a file of `file_bytes`.
  Parser(std::span<const std::byte> bytes, uint64_t file_bytes, const std::string& path)
      : bytes_(bytes), file_bytes_(file_bytes), path_(path) {}

  Result<GgufContents> run();
  /// Whether run() failed only because `bytes` end before the file does.
  bool needs_more() const { return needs_more_; }

 private:
  template <typename... Args>
  Error broken(fmt::format_string<Args...> format, Args&&... args) const {
    return gguf_error(Code::kInvalidFile, path_, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args>
  Error unsupported(fmt::format_string<Args...> format, Args&&... args) const {
    return gguf_error(Code::kUnsupported, path_, fmt::format(format, std::forward<Args>(args)...));
  }

  uint64_t left() const { return bytes_.size() - at_; }
  bool is_head() const { return bytes_.size() < file_bytes_; }
  Error truncated(What what, uint64_t needed);
  Result<void> check_count(std::string_view what, uint64_t count, uint64_t entry_bytes_min);
  template <typename T>
  Result<T> read(What what);
  Result<std::string_view> read_string(What what);
  Result<std::string_view> read_name(const char* what);

  Result<void> read_version();
  Result<void> read_metadata(uint64_t count);
  Result<GgufValue> read_value(ValueType type, std::string_view key);
  template <typename T>
  Result<GgufValue> read_scalar(std::string_view key);
  Result<bool> read_bool(std::string_view key);
  Result<GgufValue> read_array(std::string_view key);
  Result<GgufArray> read_elements(ValueType type, uint64_t count, std::string_view key);
  template <typename T>
  Result<GgufArray> read_numbers(uint64_t count, std::string_view key);
  Result<GgufArray> read_bools(uint64_t count, std::string_view key);
  Result<GgufArray> read_strings(uint64_t count, std::string_view key);
  Result<void> read_alignment();

  Result<TensorEntry> read_tensor_entry();
  Result<std::vector<int64_t>> read_shape(std::string_view name);
  Result<void> place(TensorEntry& entry, uint64_t data_start) const;
  Result<void> refuse_overlaps() const;

  std::span<const std::byte> bytes_;
  const uint64_t file_bytes_;
  bool needs_more_ = false;
  const std::string& path_;
  uint64_t at_ = 0;
  uint64_t alignment_ = kAlignmentDefault;
  GgufContents contents_;
};

Error Parser::truncated(What what, uint64_t needed) {
  needs_more_ = is_head() && needed <= file_bytes_ - at_;
  return broken(
      "expected {} bytes for {} at byte {}, but the file ends at byte {}; is it complete?", needed,
      what.shown(), at_, bytes_.size());
}

// Refuses a count that the rest of the file cannot hold, before anything is allocated for it.
Result<void> Parser::check_count(std::string_view what, uint64_t count, uint64_t entry_bytes_min) {
  if (count <= left() / entry_bytes_min) return {};
  needs_more_ = is_head() && count <= (file_bytes_ - at_) / entry_bytes_min;
  return broken(
      "expected at most {} {} in the {} bytes left at byte {}, but the count says {}; is the file "
      "complete?",
      left() / entry_bytes_min, what, left(), at_, count);
}

template <typename T>
Result<T> Parser::read(What what) {
  if (left() < sizeof(T)) return truncated(what, sizeof(T));
  T value;
  std::memcpy(&value, bytes_.data() + at_, sizeof(T));
  at_ += sizeof(T);
  return value;
}

Result<std::string_view> Parser::read_string(What what) {
  ASSIGN_OR_RETURN(const uint64_t length, read<uint64_t>(what));
  if (length > left()) return truncated(what, length);
  const std::string_view text(reinterpret_cast<const char*>(bytes_.data() + at_), length);
  at_ += length;
  return text;
}

Result<std::string_view> Parser::read_name(const char* what) {
  ASSIGN_OR_RETURN(const std::string_view name, read_string(what));
  if (!name.empty() && name.size() <= kNameBytesMax) return name;
  return broken("expected 1 to {} bytes for {} before byte {}, but its length is {}", kNameBytesMax,
                what, at_, name.size());
}

Result<void> Parser::read_version() {
  constexpr std::string_view kMagic = "GGUF";
  if (left() < kMagic.size()) return truncated("the magic \"GGUF\"", kMagic.size());
  const std::string_view magic(reinterpret_cast<const char*>(bytes_.data()), kMagic.size());
  if (magic != kMagic)
    return broken("expected the magic \"GGUF\" at byte 0, but found {}", quoted(magic));
  at_ += kMagic.size();
  ASSIGN_OR_RETURN(const uint32_t version, read<uint32_t>("the version"));
  if (version == 2 || version == 3) return {};
  if (version == 1) return unsupported("expected GGUF version 2 or 3, but this is version 1");
  if (version != 0 && (version & 0xffff) == 0) {
    return unsupported("expected a little-endian file, but this one is big-endian");
  }
  return unsupported("expected GGUF version 2 or 3, but this is version {}", version);
}

template <typename T>
Result<GgufValue> Parser::read_scalar(std::string_view key) {
  ASSIGN_OR_RETURN(const T value, read<T>(What(key)));
  if constexpr (std::is_floating_point_v<T>) {
    return GgufValue(static_cast<double>(value));
  } else {
    if constexpr (std::is_same_v<T, uint64_t>) {
      if (value > uint64_t{std::numeric_limits<int64_t>::max()}) return GgufValue(value);
    }
    return GgufValue(static_cast<int64_t>(value));
  }
}

Result<bool> Parser::read_bool(std::string_view key) {
  ASSIGN_OR_RETURN(const uint8_t value, read<uint8_t>(What(key)));
  if (value > 1)
    return broken("key {}: expected a bool of 0 or 1, but found {}", quoted(key), value);
  return value == 1;
}

Result<GgufValue> Parser::read_value(ValueType type, std::string_view key) {
  switch (type) {
    case ValueType::kUint8:
      return read_scalar<uint8_t>(key);
    case ValueType::kInt8:
      return read_scalar<int8_t>(key);
    case ValueType::kUint16:
      return read_scalar<uint16_t>(key);
    case ValueType::kInt16:
      return read_scalar<int16_t>(key);
    case ValueType::kUint32:
      return read_scalar<uint32_t>(key);
    case ValueType::kInt32:
      return read_scalar<int32_t>(key);
    case ValueType::kUint64:
      return read_scalar<uint64_t>(key);
    case ValueType::kInt64:
      return read_scalar<int64_t>(key);
    case ValueType::kFloat32:
      return read_scalar<float>(key);
    case ValueType::kFloat64:
      return read_scalar<double>(key);
    case ValueType::kBool: {
      ASSIGN_OR_RETURN(const bool value, read_bool(key));
      return GgufValue(value);
    }
    case ValueType::kString: {
      ASSIGN_OR_RETURN(const std::string_view value, read_string(What(key)));
      return GgufValue(value);
    }
    case ValueType::kArray:
      return read_array(key);
  }
  return broken("key {}: expected a value type of 0 to 12, but found {}", quoted(key),
                static_cast<uint32_t>(type));
}

Result<GgufValue> Parser::read_array(std::string_view key) {
  ASSIGN_OR_RETURN(const uint32_t type, read<uint32_t>(What(key)));
  ASSIGN_OR_RETURN(const uint64_t count, read<uint64_t>(What(key)));
  ASSIGN_OR_RETURN(GgufArray array, read_elements(static_cast<ValueType>(type), count, key));
  return GgufValue(std::move(array));
}

Result<GgufArray> Parser::read_elements(ValueType type, uint64_t count, std::string_view key) {
  switch (type) {
    case ValueType::kUint8:
      return read_numbers<uint8_t>(count, key);
    case ValueType::kInt8:
      return read_numbers<int8_t>(count, key);
    case ValueType::kUint16:
      return read_numbers<uint16_t>(count, key);
    case ValueType::kInt16:
      return read_numbers<int16_t>(count, key);
    case ValueType::kUint32:
      return read_numbers<uint32_t>(count, key);
    case ValueType::kInt32:
      return read_numbers<int32_t>(count, key);
    case ValueType::kUint64:
      return read_numbers<uint64_t>(count, key);
    case ValueType::kInt64:
      return read_numbers<int64_t>(count, key);
    case ValueType::kFloat32:
      return read_numbers<float>(count, key);
    case ValueType::kFloat64:
      return read_numbers<double>(count, key);
    case ValueType::kBool:
      return read_bools(count, key);
    case ValueType::kString:
      return read_strings(count, key);
    case ValueType::kArray:
      return unsupported("key {}: arrays of arrays are not read", quoted(key));
  }
  return broken("key {}: expected an element type of 0 to 12, but found {}", quoted(key),
                static_cast<uint32_t>(type));
}

template <typename T>
Result<GgufArray> Parser::read_numbers(uint64_t count, std::string_view key) {
  RETURN_IF_ERROR(check_count(fmt::format("elements of key {}", quoted(key)), count, sizeof(T)));
  std::vector<std::conditional_t<std::is_floating_point_v<T>, double, int64_t>> numbers(count);
  for (auto& number : numbers) {
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    if constexpr (std::is_same_v<T, uint64_t>) {
      if (value > uint64_t{std::numeric_limits<int64_t>::max()}) {
        return broken("key {}: expected elements below 2^63, but found {}", quoted(key), value);
      }
    }
    number = static_cast<std::remove_reference_t<decltype(number)>>(value);
  }
  return GgufArray(std::move(numbers));
}

Result<GgufArray> Parser::read_bools(uint64_t count, std::string_view key) {
  RETURN_IF_ERROR(check_count(fmt::format("elements of key {}", quoted(key)), count, 1));
  std::vector<bool> bools(count);
  for (uint64_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(bools[i], read_bool(key));
  }
  return GgufArray(std::move(bools));
}

Result<GgufArray> Parser::read_strings(uint64_t count, std::string_view key) {
  RETURN_IF_ERROR(
      check_count(fmt::format("strings of key {}", quoted(key)), count, sizeof(uint64_t)));
  std::vector<std::string_view> strings(count);
  for (std::string_view& text : strings) {
    ASSIGN_OR_RETURN(text, read_string(What(key)));
  }
  return GgufArray(std::move(strings));
}

Result<void> Parser::read_metadata(uint64_t count) {
  contents_.metadata.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(const std::string_view key, read_name("a metadata key"));
    ASSIGN_OR_RETURN(const uint32_t type, read<uint32_t>(What(key)));
    ASSIGN_OR_RETURN(GgufValue value, read_value(static_cast<ValueType>(type), key));
    contents_.metadata.emplace_back(key, std::move(value));
  }
  return {};
}

Result<void> Parser::read_alignment() {
  constexpr std::string_view kKey = "general.alignment";
  const auto entry =
      std::ranges::find(contents_.metadata, kKey, [](const auto& kv) { return kv.first; });
  if (entry == contents_.metadata.end()) return {};
  const auto* value = std::get_if<int64_t>(&entry->second);
  if (!value) return broken("key {}: expected an integer", quoted(kKey));
  const auto alignment = static_cast<uint64_t>(*value);  // a negative one becomes huge
  if (alignment < kAlignmentMin || alignment > kAlignmentMax || !std::has_single_bit(alignment)) {
    return broken("key {}: expected a power of two from {} to {}, but found {}", quoted(kKey),
                  kAlignmentMin, kAlignmentMax, *value);
  }
  alignment_ = alignment;
  return {};
}

Result<std::vector<int64_t>> Parser::read_shape(std::string_view name) {
  ASSIGN_OR_RETURN(const uint32_t dimensions, read<uint32_t>(What(name)));
  if (dimensions < 1 || dimensions > kDimensionsMax) {
    return broken("tensor {}: expected 1 to {} dimensions, but found {}", quoted(name),
                  kDimensionsMax, dimensions);
  }
  std::vector<int64_t> shape(dimensions);
  constexpr auto kMax = uint64_t{std::numeric_limits<int64_t>::max()};
  uint64_t elements = 1;
  for (int64_t& size : shape) {
    ASSIGN_OR_RETURN(const uint64_t dimension, read<uint64_t>(What(name)));
    if (dimension == 0) return broken("tensor {}: a dimension is zero", quoted(name));
    if (dimension > kMax / elements) {
      return broken("tensor {}: expected fewer than 2^63 elements, but a dimension is {}",
                    quoted(name), dimension);
    }
    elements *= dimension;
    size = static_cast<int64_t>(dimension);
  }
  std::ranges::reverse(shape);  // GGUF counts the innermost dimension first
  return shape;
}

Result<TensorEntry> Parser::read_tensor_entry() {
  ASSIGN_OR_RETURN(const std::string_view name, read_name("a tensor's name"));
  TensorEntry entry;
  entry.view.name = name;
  ASSIGN_OR_RETURN(entry.view.shape, read_shape(name));
  ASSIGN_OR_RETURN(const uint32_t number, read<uint32_t>(What(name)));
  const std::optional<TensorType> type = tensor_type_of(number);
  if (!type) {
    return unsupported("tensor {}: its type, {}, is not supported", quoted(name),
                       tensor_type_label(number));
  }
  entry.view.type = *type;
  if (entry.view.shape.back() % block_elements(*type) != 0) {
    return broken("tensor {}: expected rows of whole {} blocks of {} elements, but a row has {}",
                  quoted(name), type_name(*type), block_elements(*type), entry.view.shape.back());
  }
  ASSIGN_OR_RETURN(entry.offset, read<uint64_t>(What(name)));
  return entry;
}

// Finds the bytes of a tensor. Sums cannot overflow: every term is first bounded by the file's
// size.
Result<void> Parser::place(TensorEntry& entry, uint64_t data_start) const {
  TensorView& view = entry.view;
  if (entry.offset % alignment_ != 0) {
    return broken("tensor {}: expected an offset that is a multiple of {}, but found {}",
                  quoted(view.name), alignment_, entry.offset);
  }
  const auto blocks = static_cast<uint64_t>(view.elements() / block_elements(view.type));
  const auto bytes_per_block = static_cast<uint64_t>(block_bytes(view.type));
  const bool fits = data_start <= file_bytes_ && entry.offset <= file_bytes_ - data_start &&
                    blocks <= (file_bytes_ - data_start - entry.offset) / bytes_per_block;
  if (!fits) {
    return broken(
        "tensor {}: expected {} blocks of {} bytes ({} [{}]) at offset {} of the data, which "
        "starts at byte {}, "
        "but the file ends at byte {}; is it complete?",
        quoted(view.name), blocks, bytes_per_block, type_name(view.type),
        fmt::join(view.shape, ", "), entry.offset, data_start, file_bytes_);
  }
  if (!is_head()) view.bytes = bytes_.subspan(data_start + entry.offset, blocks * bytes_per_block);
  return {};
}

// Without this a small file could claim any number of large tensors, and a loader that repacks
// would believe it.
Result<void> Parser::refuse_overlaps() const {
  std::vector<const TensorView*> by_place;
  by_place.reserve(contents_.tensors.size());
  for (const TensorView& tensor : contents_.tensors) by_place.push_back(&tensor);
  std::ranges::sort(by_place, {}, [](const TensorView* tensor) { return tensor->bytes.data(); });
  for (size_t i = 1; i < by_place.size(); ++i) {
    const TensorView &before = *by_place[i - 1], &after = *by_place[i];
    if (after.bytes.data() < before.bytes.data() + before.bytes.size()) {
      return broken("expected tensors apart from each other, but {} and {} overlap",
                    quoted(before.name), quoted(after.name));
    }
  }
  return {};
}

Result<GgufContents> Parser::run() {
  RETURN_IF_ERROR(read_version());
  ASSIGN_OR_RETURN(const uint64_t tensor_count, read<uint64_t>("the tensor count"));
  ASSIGN_OR_RETURN(const uint64_t metadata_count, read<uint64_t>("the metadata count"));
  RETURN_IF_ERROR(check_count("tensors", tensor_count, kTensorEntryBytesMin));
  RETURN_IF_ERROR(check_count("metadata keys", metadata_count, kMetadataEntryBytesMin));
  RETURN_IF_ERROR(read_metadata(metadata_count));
  RETURN_IF_ERROR(read_alignment());

  RETURN_IF_ERROR(check_count("tensors", tensor_count, kTensorEntryBytesMin));
  std::vector<TensorEntry> entries;
  entries.reserve(tensor_count);
  for (uint64_t i = 0; i < tensor_count; ++i) {
    ASSIGN_OR_RETURN(TensorEntry entry, read_tensor_entry());
    entries.push_back(std::move(entry));
  }
  const uint64_t data_start = (at_ + alignment_ - 1) / alignment_ * alignment_;
  contents_.tensors.reserve(entries.size());
  for (TensorEntry& entry : entries) {
    RETURN_IF_ERROR(place(entry, data_start));
    contents_.tensors.push_back(std::move(entry.view));
  }
  RETURN_IF_ERROR(refuse_overlaps());
  return std::move(contents_);
}

}  // namespace

Error gguf_error(Code code, const std::string& path, std::string_view what) {
  return fail(code, fmt::format("[gguf] {}: {}", path, what), path);
}

Result<GgufContents> parse_gguf(std::span<const std::byte> bytes, const std::string& path) {
  return Parser(bytes, bytes.size(), path).run();
}

Result<std::optional<GgufContents>> parse_gguf_head(std::span<const std::byte> head,
                                                    uint64_t file_bytes, const std::string& path) {
  Parser parser(head, std::max<uint64_t>(head.size(), file_bytes), path);
  Result<GgufContents> contents = parser.run();
  if (contents.ok()) return std::optional(std::move(*contents));
  if (parser.needs_more()) return std::optional<GgufContents>();
  return contents.error();
}

}  // namespace pippin::store
