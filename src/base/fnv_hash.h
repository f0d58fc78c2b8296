// FnvHash: 64-bit FNV-1a. It tells whether two things are the same, and keeps no secret.
// Owner: the caller. Thread: one.
#pragma once

#include <cstdint>
#include <string_view>

namespace pippin {

class FnvHash {
 public:
  void add(std::string_view bytes) {
    for (const char c : bytes) value_ = (value_ ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325;
};

}  // namespace pippin
