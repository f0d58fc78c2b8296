#include "app/settings/profiles.h"

#include <gtest/gtest.h>

namespace pippin::app {
namespace {

TEST(Profiles, EachCanBeSetOrSaysWhatIsMissing) {
  for (const Profile& profile : profiles()) {
    Settings settings;
    const Result<void> applied = apply_profile(settings, profile.name);
    EXPECT_EQ(applied.ok(), profile.missing.empty()) << profile.name;
    if (!applied.ok()) {
      EXPECT_EQ(applied.error().code, Code::kUnsupported);
      EXPECT_NE(applied.error().message.find(profile.missing), std::string::npos);
    }
    EXPECT_NE(profiles_text().find(profile.name), std::string::npos);
  }
}

TEST(Profiles, SetWhatTheySay) {
  Settings settings;
  ASSERT_TRUE(apply_profile(settings, "deterministic").ok());
  EXPECT_TRUE(settings.deterministic);
  EXPECT_EQ(settings.temperature, 0.0);
  ASSERT_TRUE(apply_profile(settings, "agent").ok());
  EXPECT_EQ(settings.kv_contexts, 8);
}

TEST(Profiles, VariablesWin) {
  Settings settings;
  ASSERT_TRUE(apply_profile(settings, "agent").ok());
  const auto environment = [](const char* name) {
    return std::string_view(name) == "PIPPIN_KV_CONTEXTS" ? "3" : nullptr;
  };
  const Settings both = settings_from_environment(Command::kServe, environment, settings).value();
  EXPECT_EQ(both.kv_contexts, 3);
  EXPECT_EQ(both.slow_reader_s, 300);
}

TEST(Profiles, OthersAreNamed) {
  Settings settings;
  const Result<void> applied = apply_profile(settings, "fast");
  ASSERT_FALSE(applied.ok());
  EXPECT_NE(applied.error().message.find("text-default"), std::string::npos);
  EXPECT_TRUE(apply_profile(settings, "").ok());
}

}  // namespace
}  // namespace pippin::app
