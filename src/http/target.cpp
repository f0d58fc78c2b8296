#include "http/target.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/percent.h"

namespace pippin::http {
namespace {

bool has_control(std::string_view text) {
  for (const unsigned char c : text)
    if (c < 0x20 || c == 0x7f) return true;
  return false;
}

}  // namespace

bool is_utf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if ((lead >= 0x80 && lead < 0xc2) || lead > 0xf4 || i + more >= text.size()) return false;
    uint32_t point = more == 0 ? lead : lead & (0x3fu >> more);
    for (size_t k = 1; k <= more; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xc0u) != 0x80u) return false;
      point = (point << 6) | (next & 0x3fu);
    }
    const bool overlong = (more == 2 && point < 0x800) || (more == 3 && point < 0x10000);
    if (overlong || (point >= 0xd800 && point <= 0xdfff) || point > 0x10ffff) return false;
    i += more + 1;
  }
  return true;
}

Result<Target> parse_target(std::string_view text) {
  Target target;
  if (text == "*") {
    target.path = "*";
    return target;
  }
  if (text.empty() || text.front() != '/') {
    const size_t scheme = text.find("://");
    const size_t authority = scheme == std::string_view::npos ? scheme : scheme + 3;
    if (scheme == std::string_view::npos || scheme == 0)
      return fail(Code::kInvalidArgument, "[http] expected a request target that begins with /");
    const size_t end = std::min(text.find_first_of("/?", authority), text.size());
    target.authority = text.substr(authority, end - authority);
    text.remove_prefix(end);
  }
  text = text.substr(0, text.find('#'));
  const size_t question = text.find('?');
  if (question != std::string_view::npos) target.query = text.substr(question + 1);
  std::optional<std::string> path = percent_decoded(text.substr(0, question));
  if (!path)
    return fail(Code::kInvalidArgument, "[http] expected two hex digits after each % in the path");
  target.path = std::move(*path);
  if (target.path.empty()) target.path = "/";
  if (!is_utf8(target.path)) return fail(Code::kInvalidArgument, "[http] expected a path in UTF-8");
  if (has_control(target.path))
    return fail(Code::kInvalidArgument, "[http] expected a path without control characters");
  return target;
}

}  // namespace pippin::http
