#include "store/quoted.h"

#include <fmt/format.h>

namespace pippin::store {

std::string quoted(std::string_view name) {
  constexpr size_t kShownMax = 96;
  std::string out = "'";
  for (const char c : name.substr(0, kShownMax)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  if (name.size() > kShownMax) out += "...";
  return out + "'";
}

}  // namespace pippin::store
