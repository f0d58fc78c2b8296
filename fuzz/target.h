// one_input: what each fuzz target defines. entry.cpp calls it for every input of libFuzzer's, on a
// thread as the program's are: what overflows its stack overflows a worker's.
#pragma once

#include <string_view>

namespace pippin::fuzz {

/// Reads one input. Ends the process where something is wrong, so that libFuzzer keeps the input.
void one_input(std::string_view input);

/// The number of an input's byte.
inline unsigned byte_at(std::string_view input, size_t at) {
  return static_cast<unsigned char>(input[at]);
}

}  // namespace pippin::fuzz
