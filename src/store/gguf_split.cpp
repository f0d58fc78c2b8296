#include "store/gguf_split.h"

#include <fmt/format.h>

#include "store/gguf_parse.h"

namespace pippin::store {
namespace {

constexpr int kPartsMax = 99999;  // five digits
constexpr int64_t kTensorsMax = int64_t{1} << 31;

Result<int64_t> bounded(const GgufFile& file, std::string_view key, int64_t min, int64_t max) {
  ASSIGN_OR_RETURN(const int64_t value, file.integer(key));
  if (value >= min && value <= max) return value;
  Error error =
      gguf_error(Code::kInvalidFile, file.path(),
                 fmt::format("key '{}': expected {} to {}, but found {}", key, min, max, value));
  error.param = key;
  return error;
}

std::string ending(const GgufSplit& split, int part) {
  return fmt::format("-{:05}-of-{:05}.gguf", part + 1, split.parts);
}

}  // namespace

Result<GgufSplit> gguf_split(const GgufFile& file) {
  if (file.find("split.count") == nullptr) return GgufSplit{};
  ASSIGN_OR_RETURN(const int64_t parts, bounded(file, "split.count", 0, kPartsMax));
  if (parts <= 1) return GgufSplit{};
  ASSIGN_OR_RETURN(const int64_t part, bounded(file, "split.no", 0, parts - 1));
  ASSIGN_OR_RETURN(const int64_t tensors, bounded(file, "split.tensors.count", 0, kTensorsMax));
  return GgufSplit{static_cast<int>(part), static_cast<int>(parts), tensors};
}

Result<std::string> gguf_part_path(const std::string& path, const GgufSplit& own, int part) {
  const std::string end = ending(own, own.part);
  if (path.ends_with(end)) return path.substr(0, path.size() - end.size()) + ending(own, part);
  return gguf_error(Code::kInvalidFile, path,
                    fmt::format("it is part {} of {}, so its name should end with {}, where the "
                                "other parts are looked for",
                                own.part + 1, own.parts, end));
}

}  // namespace pippin::store
