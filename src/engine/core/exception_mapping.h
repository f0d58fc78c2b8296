// Exception mapping: turns what a device throws into the error of the step's requests. Thread: any.
#pragma once

#include <exception>
#include <string_view>

#include "base/error.h"

namespace pippin::engine {

/// Returns kOutOfMemory for bad_alloc and for what says so in words, as MLX does; else kInternal
/// with the exception's text. `where` begins the message: "[runner]".
Error error_of_exception(std::string_view where, const std::exception& thrown);

}  // namespace pippin::engine
