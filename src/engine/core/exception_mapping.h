// Exception mapping: turns what a device throws into the error of the step's requests. Thread: any.
#pragma once

#include <exception>
#include <optional>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace pippin::engine {

/// Returns kOutOfMemory for bad_alloc and for what says so in words, as MLX does; else kInternal
/// with the exception's text. `where` begins the message: "[runner]".
Error error_of_exception(std::string_view where, const std::exception& thrown);

/// Likewise of anything else that was thrown.
Error error_of_unknown(std::string_view where);

/// Runs `work`. Returns: the error that it threw, whatever that was.
template <typename Work>
std::optional<Error> thrown_by(std::string_view where, Work&& work) {
  try {
    std::forward<Work>(work)();
    return std::nullopt;
  } catch (const std::exception& thrown) {
    return error_of_exception(where, thrown);
  } catch (...) {  // NOLINT: whatever it is, it must not end the thread
    return error_of_unknown(where);
  }
}

}  // namespace pippin::engine
