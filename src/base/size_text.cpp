#include "base/size_text.h"

#include <fmt/format.h>

namespace pippin {

std::string size_text(double bytes) {
  const char* unit = "B";
  for (const char* next : {"kB", "MB", "GB", "TB"}) {
    if (bytes < 999.5) break;
    bytes /= 1000;
    unit = next;
  }
  return bytes < 9.95 && *unit != 'B' ? fmt::format("{:.1f} {}", bytes, unit)
                                      : fmt::format("{:.0f} {}", bytes, unit);
}

}  // namespace pippin
