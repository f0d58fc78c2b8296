#include "store/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "store/gguf_parse.h"
#include "store/gguf_split.h"
#include "store/mapped_file.h"
#include "store/name_index.h"
#include "store/quoted.h"

namespace pippin::store {
namespace {

std::string_view kind_name(const GgufValue& value) {
  struct Namer {
    std::string_view operator()(int64_t) const { return "an integer"; }
    std::string_view operator()(uint64_t) const { return "an integer of 2^63 or more"; }
    std::string_view operator()(double) const { return "a float"; }
    std::string_view operator()(bool) const { return "a bool"; }
    std::string_view operator()(std::string_view) const { return "a string"; }
    std::string_view operator()(const GgufArray& array) const { return std::visit(*this, array); }
    std::string_view operator()(const std::vector<int64_t>&) const {
      return "an array of integers";
    }
    std::string_view operator()(const std::vector<double>&) const { return "an array of floats"; }
    std::string_view operator()(const std::vector<bool>&) const { return "an array of bools"; }
    std::string_view operator()(const std::vector<std::string_view>&) const {
      return "an array of strings";
    }
  };
  return std::visit(Namer{}, value);
}

}  // namespace

struct GgufFile::Impl {
  std::string path;
  std::vector<MappedFile> mappings;  // one for each part; none when the caller owns the bytes
  uint64_t file_bytes = 0;
  GgufContents contents;
  NameIndex keys, names;

  auto key_at() const {
    return [this](uint32_t i) { return contents.metadata[i].first; };
  }
  auto name_at() const {
    return [this](uint32_t i) { return std::string_view(contents.tensors[i].name); };
  }
  Error wrong(std::string_view key, std::string_view expected, const GgufValue* found) const {
    Error error = gguf_error(
        Code::kInvalidFile, path,
        fmt::format("key {}: expected {}, but {}", quoted(key), expected,
                    found ? fmt::format("it is {}", kind_name(*found)) : "it is absent"));
    error.param = key;
    return error;
  }
};

GgufFile::GgufFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GgufFile::GgufFile(GgufFile&&) noexcept = default;
GgufFile& GgufFile::operator=(GgufFile&&) noexcept = default;
GgufFile::~GgufFile() = default;

Result<GgufFile> GgufFile::adopt(std::unique_ptr<Impl> impl, std::span<const std::byte> bytes) {
  impl->file_bytes = bytes.size();
  ASSIGN_OR_RETURN(impl->contents, parse_gguf(bytes, impl->path));
  return index(std::move(impl));
}

Result<GgufFile> GgufFile::index(std::unique_ptr<Impl> impl) {
  impl->keys = NameIndex(impl->contents.metadata.size(), impl->key_at());
  impl->names = NameIndex(impl->contents.tensors.size(), impl->name_at());
  if (const int64_t at = impl->keys.duplicate(impl->key_at()); at >= 0) {
    return gguf_error(
        Code::kInvalidFile, impl->path,
        fmt::format("key {} occurs twice", quoted(impl->key_at()(static_cast<uint32_t>(at)))));
  }
  if (const int64_t at = impl->names.duplicate(impl->name_at()); at >= 0) {
    return gguf_error(
        Code::kInvalidFile, impl->path,
        fmt::format("tensor {} occurs twice", quoted(impl->name_at()(static_cast<uint32_t>(at)))));
  }
  return GgufFile(std::move(impl));
}

Result<GgufFile> GgufFile::open_part(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  ASSIGN_OR_RETURN(MappedFile mapping, MappedFile::open(path));
  const std::span<const std::byte> bytes = mapping.bytes();
  impl->mappings.push_back(std::move(mapping));
  return adopt(std::move(impl), bytes);
}

Result<GgufFile> GgufFile::open_other(const std::string& path, const GgufSplit& split, int part) {
  Result<GgufFile> file = open_part(path);
  if (file.ok() || file.error().code != Code::kNotFound) return file;
  return gguf_error(Code::kInvalidFile, path,
                    fmt::format("part {} of {} is missing; the model is in as many files", part + 1,
                                split.parts));
}

Result<GgufFile> GgufFile::open(const std::string& path) {
  ASSIGN_OR_RETURN(GgufFile file, open_part(path));
  ASSIGN_OR_RETURN(const GgufSplit named, gguf_split(file));
  if (named.parts == 1) return file;
  if (named.part == 0) return join(std::move(file), named);
  ASSIGN_OR_RETURN(const std::string first_path, gguf_part_path(path, named, 0));
  ASSIGN_OR_RETURN(GgufFile first, open_other(first_path, named, 0));
  ASSIGN_OR_RETURN(const GgufSplit split, gguf_split(first));
  if (split.part != 0 || split.parts != named.parts)
    return gguf_error(Code::kInvalidFile, first_path,
                      fmt::format("it is not part 1 of {}, which {} needs", named.parts, path));
  return join(std::move(first), split);
}

Result<GgufFile> GgufFile::join(GgufFile first, const GgufSplit& split) {
  std::unique_ptr<Impl> impl = std::move(first.impl_);
  for (int part = 1; part < split.parts; ++part) {
    ASSIGN_OR_RETURN(const std::string path, gguf_part_path(impl->path, split, part));
    ASSIGN_OR_RETURN(GgufFile next, open_other(path, split, part));
    ASSIGN_OR_RETURN(const GgufSplit own, gguf_split(next));
    if (own.part != part || own.parts != split.parts)
      return gguf_error(Code::kInvalidFile, path,
                        fmt::format("expected part {} of {}, but key 'split.no' says {} of {}",
                                    part + 1, split.parts, own.part + 1, own.parts));
    impl->file_bytes += next.file_bytes();
    impl->mappings.push_back(std::move(next.impl_->mappings.front()));
    std::ranges::move(next.impl_->contents.tensors, std::back_inserter(impl->contents.tensors));
  }
  if (static_cast<int64_t>(impl->contents.tensors.size()) != split.tensors)
    return gguf_error(Code::kInvalidFile, impl->path,
                      fmt::format("key 'split.tensors.count': it says {}, but all parts have {}",
                                  split.tensors, impl->contents.tensors.size()));
  return index(std::move(impl));
}

Result<GgufFile> GgufFile::parse(std::span<const std::byte> bytes, const std::string& name) {
  auto impl = std::make_unique<Impl>();
  impl->path = name;
  return adopt(std::move(impl), bytes);
}

Result<std::optional<GgufFile>> GgufFile::parse_head(std::span<const std::byte> head,
                                                     uint64_t file_bytes, const std::string& name) {
  auto impl = std::make_unique<Impl>();
  impl->path = name;
  impl->file_bytes = file_bytes;
  ASSIGN_OR_RETURN(std::optional<GgufContents> contents,
                   parse_gguf_head(head, file_bytes, impl->path));
  if (!contents) return std::optional<GgufFile>();
  impl->contents = std::move(*contents);
  ASSIGN_OR_RETURN(GgufFile file, index(std::move(impl)));
  return std::optional(std::move(file));
}

const std::string& GgufFile::path() const { return impl_->path; }
uint64_t GgufFile::file_bytes() const { return impl_->file_bytes; }

const GgufValue* GgufFile::find(std::string_view key) const {
  const int64_t at = impl_->keys.find(key, impl_->key_at());
  return at < 0 ? nullptr : &impl_->contents.metadata[static_cast<size_t>(at)].second;
}

Result<int64_t> GgufFile::integer(std::string_view key) const {
  const GgufValue* value = find(key);
  if (const auto* integer = value ? std::get_if<int64_t>(value) : nullptr) return *integer;
  return impl_->wrong(key, "an integer", value);
}

Result<double> GgufFile::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (const auto* number = value ? std::get_if<double>(value) : nullptr) return *number;
  if (const auto* integer = value ? std::get_if<int64_t>(value) : nullptr)
    return static_cast<double>(*integer);
  return impl_->wrong(key, "a number", value);
}

Result<bool> GgufFile::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  if (const auto* boolean = value ? std::get_if<bool>(value) : nullptr) return *boolean;
  return impl_->wrong(key, "a bool", value);
}

Result<std::string_view> GgufFile::string(std::string_view key) const {
  const GgufValue* value = find(key);
  if (const auto* text = value ? std::get_if<std::string_view>(value) : nullptr) return *text;
  return impl_->wrong(key, "a string", value);
}

namespace {

template <typename T>
const std::vector<T>* array_of(const GgufValue* value) {
  const auto* array = value ? std::get_if<GgufArray>(value) : nullptr;
  return array ? std::get_if<std::vector<T>>(array) : nullptr;
}

}  // namespace

Result<const std::vector<std::string_view>*> GgufFile::strings(std::string_view key) const {
  const GgufValue* value = find(key);
  if (const auto* array = array_of<std::string_view>(value)) return array;
  return impl_->wrong(key, "an array of strings", value);
}

Result<const std::vector<int64_t>*> GgufFile::integers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (const auto* array = array_of<int64_t>(value)) return array;
  return impl_->wrong(key, "an array of integers", value);
}

Result<const std::vector<double>*> GgufFile::numbers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (const auto* array = array_of<double>(value)) return array;
  return impl_->wrong(key, "an array of floats", value);
}

Result<int64_t> GgufFile::integer_or(std::string_view key, int64_t otherwise) const {
  return find(key) ? integer(key) : Result<int64_t>(otherwise);
}

Result<double> GgufFile::number_or(std::string_view key, double otherwise) const {
  return find(key) ? number(key) : Result<double>(otherwise);
}

Result<bool> GgufFile::boolean_or(std::string_view key, bool otherwise) const {
  return find(key) ? boolean(key) : Result<bool>(otherwise);
}

const std::vector<std::pair<std::string_view, GgufValue>>& GgufFile::metadata() const {
  return impl_->contents.metadata;
}
const std::vector<TensorView>& GgufFile::tensors() const { return impl_->contents.tensors; }

const TensorView* GgufFile::tensor(std::string_view name) const {
  const int64_t at = impl_->names.find(name, impl_->name_at());
  return at < 0 ? nullptr : &impl_->contents.tensors[static_cast<size_t>(at)];
}

}  // namespace pippin::store
