// Case of ASCII letters, whatever the locale. Pure. Thread: any.
#pragma once

#include <string>
#include <string_view>

namespace pippin {

/// Returns the text with A to Z lowered; every other byte stays, so UTF-8 stays UTF-8.
inline std::string ascii_lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

}  // namespace pippin
