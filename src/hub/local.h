// What pull and the catalogue share. Internal to hub.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "base/result.h"
#include "hub/catalogue.h"
#include "hub/name.h"
#include "hub/paths.h"

namespace pippin::hub {

/// Returns the model on this machine that a parsed name means. Errors: of resolve().
Result<LocalModel> resolve_name(const ModelName& name, const Paths& paths);

/// Sums up the sizes of a model's files and takes their newest time.
void measure(LocalModel& model);

/// A file's time on the system's clock. libstdc++ and libc++ offer different ways; this works by
/// comparing the clocks.
inline std::chrono::system_clock::time_point to_system_time(std::filesystem::file_time_type time) {
  using std::chrono::system_clock;
  return std::chrono::time_point_cast<system_clock::duration>(
      time - std::filesystem::file_time_type::clock::now() + system_clock::now());
}

}  // namespace pippin::hub
