// A request's target, taken apart: hostile until parsed here.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace pippin::http {

struct Target {
  std::string path;   // percent-decoded, valid UTF-8 without control characters: "/v1/models/a b"
  std::string query;  // as sent, without the '?'
  std::string
      authority;  // of the absolute form ("http://host/path"), which overrides Host; else ""
};

/// Parses origin form, absolute form and "*".
/// Errors: kInvalidArgument (another form, a broken escape, not UTF-8, a control character).
/// Source: RFC 9112 section 3.2.
Result<Target> parse_target(std::string_view text);

/// Returns whether `text` is well-formed UTF-8 (no surrogates, no overlong forms).
bool is_utf8(std::string_view text);

}  // namespace pippin::http
