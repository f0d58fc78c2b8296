// Profiles: named sets of settings for what a server is mostly used for. A profile gives defaults;
// variables and flags win over it. Thread: any.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "app/settings/settings.h"
#include "base/result.h"

namespace pippin::app {

struct Profile {
  std::string_view name;
  std::string_view help;  // one sentence, without a full stop
  /// Flags and their values, as one would type them.
  std::span<const std::pair<std::string_view, std::string_view>> settings;
  std::string_view missing;  // what it needs that this version has not; empty: it can be used
};

/// Returns the table, in the order of `pippin profiles`.
std::span<const Profile> profiles();

/// Sets what the profile says; "" sets nothing. Errors: kInvalidArgument, naming the profiles there
/// are; kUnsupported for one that cannot be used yet.
Result<void> apply_profile(Settings& settings, std::string_view name);

/// Returns what `pippin profiles` prints.
std::string profiles_text();

}  // namespace pippin::app
