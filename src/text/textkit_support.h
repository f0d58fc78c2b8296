// What the faces of textkit share: slices, owned buffers, errors. Private to src/text.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "textkit.h"

namespace pippin::text::textkit {

inline tk_slice slice(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

/// Owns a tk_buffer.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(tk_buffer buffer) : buffer_(buffer) {}
  ~Buffer() { tk_buffer_free(buffer_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  tk_buffer* out() { return &buffer_; }
  std::string_view view() const {
    if (buffer_.len == 0) return {};
    return {reinterpret_cast<const char*>(buffer_.data), buffer_.len};
  }

 private:
  tk_buffer buffer_{};
};

/// Makes an Error of a failed call. `invalid` is the code for TK_INVALID.
inline Error error_of(tk_status status, const Buffer& message, Code invalid) {
  Code code = Code::kInternal;
  if (status == TK_INVALID) code = invalid;
  if (status == TK_RAISED) code = Code::kInvalidArgument;
  if (status == TK_UNSUPPORTED || status == TK_FAILED || status == TK_LIMIT)
    code = Code::kUnsupported;
  // What a template raises is meant for the caller, word for word.
  const std::string_view prefix = status == TK_RAISED ? "" : "[text] ";
  return fail(code, std::string(prefix) + std::string(message.view()));
}

}  // namespace pippin::text::textkit
