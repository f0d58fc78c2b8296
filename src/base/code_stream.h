// CodeStream: codes of fewer than 9 bits, one behind the other, the first in the lowest bits. So
// MLX keeps codes. Owner: who writes a row. Thread: one.
#pragma once

#include <cstdint>

namespace pippin {

/// Bits that do not fill a byte yet are not written.
class CodeStream {
 public:
  CodeStream(uint8_t* out, int bits) : out_(out), bits_(bits) {}
  void put(uint32_t code) {
    waiting_ |= code << held_;
    for (held_ += bits_; held_ >= 8; held_ -= 8, waiting_ >>= 8)
      *out_++ = static_cast<uint8_t>(waiting_);
  }

 private:
  uint8_t* out_;
  const int bits_;
  uint32_t waiting_ = 0;
  int held_ = 0;
};

}  // namespace pippin
