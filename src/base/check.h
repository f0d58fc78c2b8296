// CHECK: asserts what only our own mistake can break. Always on; prints the place and aborts.
// Never reachable from a request body or a model file: those return Result.
#pragma once

namespace pippin {

/// Prints "CHECK failed: <expr> at file:line" with the message to stderr and aborts.
[[noreturn]] void check_failed(const char* expression, const char* message, const char* file,
                               int line);

}  // namespace pippin

#define CHECK(condition, ...)                                                 \
  do {                                                                        \
    if (!(condition)) [[unlikely]]                                            \
      ::pippin::check_failed(#condition, "" __VA_ARGS__, __FILE__, __LINE__); \
  } while (false)
