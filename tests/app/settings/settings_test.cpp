#include "app/settings/settings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

namespace pippin::app {
namespace {

const Setting& setting_of(std::string_view variable) {
  for (const Setting& setting : settings_table())
    if (setting.variable == variable) return setting;
  ADD_FAILURE() << variable;
  return settings_table()[0];
}

Result<Settings> read(Command command, const std::map<std::string, std::string>& variables) {
  return settings_from_environment(command, [&](const char* name) -> const char* {
    const auto place = variables.find(name);
    return place == variables.end() ? nullptr : place->second.c_str();
  });
}

std::string error_of(std::string_view variable, const std::string& text) {
  Settings settings;
  const Result<void> result = set_setting(settings, setting_of(variable), text, variable);
  return result.ok() ? "" : result.error().message;
}

TEST(Settings, DefaultsStandWhereNothingIsSaid) {
  const auto settings = read(Command::kServe, {});
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->host, "127.0.0.1");
  EXPECT_EQ(settings->port, 8000);
  EXPECT_TRUE(settings->prefix_cache);
  EXPECT_FALSE(settings->allow_unauthenticated);
  EXPECT_FALSE(settings->temperature);
}

TEST(Settings, VariablesOfEachTypeAreRead) {
  const auto serve = read(Command::kServe, {{"PIPPIN_HOST", "::1"},
                                            {"PIPPIN_PORT", "0"},
                                            {"PIPPIN_MEMORY", "1.5GiB"},
                                            {"PIPPIN_PREFIX_CACHE", "off"},
                                            {"PIPPIN_CORS_ORIGINS", "http://a, http://b:*,"},
                                            {"PIPPIN_LOG", "debug"}});
  ASSERT_TRUE(serve.ok()) << serve.error().message;
  EXPECT_EQ(serve->host, "::1");
  EXPECT_EQ(serve->port, 0);
  EXPECT_EQ(serve->memory_bytes, 3ULL << 29);
  EXPECT_FALSE(serve->prefix_cache);
  EXPECT_EQ(serve->cors_origins, (std::vector<std::string>{"http://a", "http://b:*"}));
  EXPECT_EQ(serve->log_level, "debug");
  const auto run =
      read(Command::kRun, {{"PIPPIN_TEMPERATURE", "0.25"}, {"PIPPIN_SEED", "9007199254740991"}});
  ASSERT_TRUE(run.ok());
  EXPECT_EQ(run->temperature, 0.25);
  EXPECT_EQ(run->seed, 9007199254740991);
}

TEST(Settings, ListsOfNumbers) {
  const auto bench = read(Command::kBench, {{"PIPPIN_BENCH_ROWS", "1, 4,16"}});
  ASSERT_TRUE(bench.ok());
  EXPECT_EQ(bench->bench_rows, (std::vector<int>{1, 4, 16}));
  for (const char* text : {"1,x", "0", "257", ","})
    EXPECT_NE(error_of("PIPPIN_BENCH_ROWS", text), "") << text;
}

TEST(Settings, AnotherCommandsVariablesAndEmptyOnesArePassedOver) {
  const auto settings = read(Command::kRun, {{"PIPPIN_PORT", "nonsense"}, {"PIPPIN_THREADS", ""}});
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->port, 8000);
}

TEST(Settings, AliasesAreVariablesToo) {
  const auto old = read(Command::kServe, {{"PIPPIN_MAX_ROWS", "3"},
                                          {"PIPPIN_STEP_TOKENS", "64"},
                                          {"PIPPIN_MAX_MODEL_LEN", "4096"},
                                          {"PIPPIN_ENABLE_PREFIX_CACHING", "off"}});
  ASSERT_TRUE(old.ok()) << old.error().message;
  EXPECT_EQ(old->rows_max, 3);
  EXPECT_EQ(old->step_tokens_max, 64);
  EXPECT_EQ(old->context_tokens, 4096);
  EXPECT_FALSE(old->prefix_cache);
  const auto both = read(Command::kServe, {{"PIPPIN_MAX_ROWS", "3"}, {"PIPPIN_MAX_NUM_SEQS", "5"}});
  ASSERT_TRUE(both.ok());
  EXPECT_EQ(both->rows_max, 5) << "the variable of its own name wins";
  const auto bench = read(Command::kBench, {{"PIPPIN_BENCH_N_GEN", "7"}});
  ASSERT_TRUE(bench.ok());
  EXPECT_EQ(bench->bench_generate, 7) << "with the command's prefix";
  const auto wrong = read(Command::kServe, {{"PIPPIN_MAX_ROWS", "x"}});
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().message,
            "PIPPIN_MAX_ROWS: expected a whole number from 1 to 4096, got \"x\"");
}

TEST(Settings, AliasesAreHidden) {
  const std::string help = settings_help(Command::kServe);
  EXPECT_NE(help.find("--max-num-seqs N"), std::string::npos);
  for (const Setting& setting : settings_table())
    for (const std::string_view flag : setting.flags()) {
      if (flag == setting.flag || !setting.is_for(Command::kServe)) continue;
      EXPECT_EQ(help.find("  " + std::string(flag) + " "), std::string::npos) << flag;
    }
}

TEST(Settings, AWrongVariableIsNamed) {
  const auto settings = read(Command::kServe, {{"PIPPIN_PORT", "80x"}});
  ASSERT_FALSE(settings.ok());
  EXPECT_EQ(settings.error().code, Code::kInvalidArgument);
  EXPECT_EQ(settings.error().param, "PIPPIN_PORT");
  EXPECT_EQ(settings.error().message,
            "PIPPIN_PORT: expected a whole number from 0 to 65535, got \"80x\"");
}

TEST(Settings, NumbersOutOfRangeOrOfAnotherKindAreRefused) {
  for (const char* text :
       {"-1", "65536", "1.5", " 1", "1 ", "0x10", "99999999999999999999", "", "+1"})
    EXPECT_NE(error_of("PIPPIN_PORT", text), "") << text;
  for (const char* text : {"-0.1", "2.01", "nan", "inf", "1,5", "1e", ""})
    EXPECT_NE(error_of("PIPPIN_TEMPERATURE", text), "") << text;
  for (const char* text : {"0", "2", "1e-3", ".5"})
    EXPECT_EQ(error_of("PIPPIN_TEMPERATURE", text), "") << text;
  for (const char* text : {"many", "-1GB", "1XB", "GiB", "1e30"})
    EXPECT_NE(error_of("PIPPIN_MEMORY", text), "") << text;
  EXPECT_EQ(error_of("PIPPIN_LOG", "loud"),
            "PIPPIN_LOG: expected one of debug, info, warn, error, off, got \"loud\"");
  EXPECT_NE(error_of("PIPPIN_PREFIX_CACHE", "maybe"), "");
}

TEST(Settings, AmountsOfMemory) {
  const std::map<std::string, uint64_t> amounts = {
      {"4096", 4096},       {"1KiB", 1024},     {"2K", 2048},         {"3 MB", 3000000},
      {"0.5GB", 500000000}, {"8G", 8ULL << 30}, {"1TiB", 1ULL << 40}, {"7B", 7}};
  for (const auto& [text, bytes] : amounts) {
    Settings settings;
    ASSERT_TRUE(set_setting(settings, setting_of("PIPPIN_MEMORY"), text, "").ok()) << text;
    EXPECT_EQ(settings.memory_bytes, bytes) << text;
  }
}

TEST(Settings, TheTableIsSound) {
  std::set<std::pair<uint16_t, std::string_view>> flags;  // with the command
  std::set<std::pair<uint16_t, std::string>> variables;
  std::map<std::string_view, std::string_view> flag_of;  // one flag, whatever the command
  std::map<std::string_view, std::string_view> aliases_of;
  for (const Setting& setting : settings_table()) {
    for (uint16_t command = 1; command != 0; command = static_cast<uint16_t>(command << 1)) {
      if (setting.flag.empty() || (setting.commands & command) == 0) continue;
      for (const std::string_view flag : setting.flags()) {
        EXPECT_TRUE(flags.emplace(command, flag).second) << flag;
        EXPECT_TRUE(flag.starts_with('-') && flag.size() > 1) << flag;
      }
      for (const std::string& variable : setting.variables())
        EXPECT_TRUE(variables.emplace(command, variable).second) << variable;
    }
    // A file or an environment is read by several commands: they understand it alike.
    EXPECT_EQ(aliases_of.emplace(setting.variable, setting.aliases).first->second, setting.aliases);
    EXPECT_EQ(flag_of.emplace(setting.variable, setting.flag).first->second, setting.flag);
    EXPECT_TRUE(setting.variable.starts_with("PIPPIN_"));
    EXPECT_NE(setting.commands, 0);
    EXPECT_EQ(setting.value.empty(), setting.is_switch()) << setting.variable;
    EXPECT_FALSE(setting.help.empty());
    EXPECT_FALSE(setting.help.ends_with('.')) << setting.help;
    EXPECT_FALSE(default_text(setting).empty()) << setting.variable << " needs `unset`";
    EXPECT_LE(setting.low, setting.high);
  }
}

TEST(Settings, EveryDefaultIsInItsOwnRange) {
  for (const Setting& setting : settings_table()) {
    if (!setting.unset.empty()) continue;
    Settings settings;
    EXPECT_TRUE(set_setting(settings, setting, default_text(setting), setting.variable).ok())
        << setting.variable;
  }
}

TEST(Settings, HelpNamesEveryFlagWithinTheWidth) {
  for (const Command command : {Command::kServe, Command::kRun, Command::kBench, Command::kDoctor,
                                Command::kPull, Command::kModels, Command::kShow, Command::kConvert,
                                Command::kServer, Command::kKey, Command::kLaunch}) {
    const std::string help = "\n" + settings_help(command);
    const auto has_line = [&](const std::string& name) {
      return help.find("\n  " + name + " ") != std::string::npos ||
             help.find("\n  " + name + "\n") != std::string::npos;
    };
    for (const Setting& setting : settings_table()) {
      const std::string flag(setting.flag),
          off = "--no-" + flag.substr(std::min<size_t>(2, flag.size()));
      const std::string name = flag.empty() ? std::string(setting.variable) : flag;
      // Commands may have flags of one name and of their own meaning.
      const bool expected = std::ranges::any_of(settings_table(), [&](const Setting& other) {
        const bool same =
            flag.empty() ? other.variable == setting.variable : other.flag == setting.flag;
        return same && other.is_for(command);
      });
      EXPECT_EQ(has_line(name) || has_line(off), expected) << setting.variable;
    }
    for (size_t begin = 0; begin < help.size();) {
      const size_t end = help.find('\n', begin);
      EXPECT_LE(end - begin, 96U) << help.substr(begin, end - begin);
      begin = end + 1;
    }
  }
}

TEST(Settings, TheDocumentHoldsTheTable) {
  std::ifstream file(PIPPIN_SOURCE_DIR "/docs/settings.md");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  for (const Command command : {Command::kServe, Command::kRun, Command::kBench, Command::kDoctor,
                                Command::kPull, Command::kModels, Command::kShow, Command::kConvert,
                                Command::kServer, Command::kKey, Command::kLaunch})
    EXPECT_NE(text.find(settings_markdown(command)), std::string::npos)
        << "docs/settings.md lacks this table:\n"
        << settings_markdown(command);
  EXPECT_NE(text.find(aliases_markdown()), std::string::npos)
      << "docs/settings.md lacks this table:\n"
      << aliases_markdown();
}

}  // namespace
}  // namespace pippin::app
