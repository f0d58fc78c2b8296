#include "engine/core/exception_mapping.h"

#include <fmt/format.h>

#include <new>

#include "base/result.h"

namespace pippin::engine {
namespace {

// MLX: "[malloc] Unable to allocate N bytes.", "[metal::malloc] Attempting to allocate N bytes
// ..."; CUDA's own: "out of memory".
constexpr std::string_view kNoMemory[] = {"to allocate", "out of memory"};

bool tells_of_memory(const std::exception& thrown) {
  if (dynamic_cast<const std::bad_alloc*>(&thrown) != nullptr) return true;
  const std::string_view text = thrown.what();
  for (const std::string_view words : kNoMemory)
    if (text.find(words) != std::string_view::npos) return true;
  return false;
}

}  // namespace

Error error_of_exception(std::string_view where, const std::exception& thrown) {
  if (tells_of_memory(thrown))
    return fail(Code::kOutOfMemory,
                fmt::format("{} there is not enough memory for this step", where));
  return fail(Code::kInternal, fmt::format("{} the step failed: {}", where, thrown.what()));
}

Error error_of_unknown(std::string_view where) {
  return fail(Code::kInternal, fmt::format("{} the step failed: an unknown exception", where));
}

}  // namespace pippin::engine
