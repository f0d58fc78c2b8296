// Logging: one process-wide spdlog logger on stderr. Thread: any.
// Prompt text and answers are never logged; sizes, ids and codes are.
#pragma once

#include <spdlog/spdlog.h>

namespace pippin::log {

using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

/// Sets the level by name ("debug", "info", "warn", "error", "off") and the line pattern. Called
/// once, by main.
void configure(const char* level);

}  // namespace pippin::log
