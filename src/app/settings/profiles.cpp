#include "app/settings/profiles.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace pippin::app {
namespace {

using Row = std::pair<std::string_view, std::string_view>;

constexpr Row kDeterministic[] = {{"--deterministic", "on"}, {"--temperature", "0"}};
constexpr Row kTools[] = {{"--temperature", "0.2"}, {"--top-p", "0.95"}};
constexpr Row kJson[] = {{"--temperature", "0"}};
// An agent sends its whole history each turn, runs tools between turns, and asks beside its main
// line of talk: many conversations have to stay cached.
constexpr Row kAgent[] = {{"--temperature", "0.2"},
                          {"--top-p", "0.95"},
                          {"--kv-contexts", "8"},
                          {"--slow-reader", "300"}};

constexpr Profile kProfiles[] = {
    {"text-default",
     "Conversation, sampled by the model's generation config, else by the defaults",
     {},
     {}},
    {"deterministic", "The same request always gets the same answer", kDeterministic, {}},
    {"tools", "Tool calls by small models: low temperature", kTools, {}},
    {"json", "Extraction and structured answers", kJson, {}},
    {"agent", "Coding agents: long histories, many of them kept, slow readers", kAgent, {}},
    {"vision", "Pictures in conversations", {}, "models that see"},
};

}  // namespace

std::span<const Profile> profiles() { return kProfiles; }

Result<void> apply_profile(Settings& settings, std::string_view name) {
  if (name.empty()) return {};
  const auto* profile = std::ranges::find(kProfiles, name, &Profile::name);
  if (profile == std::end(kProfiles)) {
    std::string names;
    for (const Profile& known : kProfiles)
      names += (names.empty() ? "" : ", ") + std::string(known.name);
    return fail(Code::kInvalidArgument,
                fmt::format("--profile: expected one of {}, got \"{}\"", names, name), "--profile");
  }
  if (!profile->missing.empty()) {
    return fail(
        Code::kUnsupported,
        fmt::format("--profile {}: this version cannot serve {} yet", name, profile->missing),
        "--profile");
  }
  for (const auto& [flag, value] : profile->settings) {
    const auto setting = std::ranges::find(settings_table(), flag, &Setting::flag);
    CHECK(setting != settings_table().end(), "a profile names a flag that exists");
    RETURN_IF_ERROR(set_setting(settings, *setting, value, flag));
  }
  return {};
}

std::string profiles_text() {
  std::string text;
  for (const Profile& profile : kProfiles) {
    text += fmt::format("{:<14} {}\n", profile.name, profile.help);
    std::string flags;
    for (const auto& [flag, value] : profile.settings) flags += fmt::format(" {} {}", flag, value);
    if (!flags.empty()) text += fmt::format("{:<14}{}\n", "", flags);
    if (!profile.missing.empty())
      text += fmt::format("{:<14} not yet: this version cannot serve {}\n", "", profile.missing);
  }
  return text;
}

}  // namespace pippin::app
