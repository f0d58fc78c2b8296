// Percent-encoding, as addresses have it. Thread: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pippin {

/// Returns `text` with each "%41" as its byte; nothing if a % stands before no two hex digits.
/// Source: RFC 3986 section 2.1.
std::optional<std::string> percent_decoded(std::string_view text);

}  // namespace pippin
