// parse_duration: spans of time as people and Ollama's clients write them. Thread: any.
#pragma once

#include <optional>
#include <string_view>

namespace pippin {

/// Returns the nanoseconds of "5m", "1h30m", "90s" or "300" (seconds), also below 0; nothing if it
/// is none.
std::optional<double> parse_duration(std::string_view text);

}  // namespace pippin
