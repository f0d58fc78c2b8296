// pippin.toml: what it says, and what is wrong in it.
#include "app/settings/settings_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace pippin::app {
namespace {

namespace fs = std::filesystem;

class SettingsFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("pippin_settings_" + std::to_string(getpid()));
    fs::create_directories(folder_ / "pippin");
    path_ = (folder_ / "pippin" / "pippin.toml").string();
  }
  void TearDown() override { fs::remove_all(folder_); }

  Result<SettingsFile> read(const std::string& text) {
    std::ofstream(path_, std::ios::trunc) << text;
    return read_settings_file(path_);
  }
  std::string error(const std::string& text) {
    const Result<SettingsFile> file = read(text);
    return file.ok() ? "no error" : file.error().message;
  }

  fs::path folder_;
  std::string path_;
};

TEST_F(SettingsFileTest, HoldsSettingsAndModels) {
  const Result<SettingsFile> file = read(R"(
port = 9000
memory = "2GiB"
prefix_cache = false
cors-origins = ["https://a.example", "https://b.example"]
top_p = 0.5
pull_connections = 3
)");
  ASSERT_FALSE(file.ok()) << "the flag is --connections";

  const Result<SettingsFile> right = read(R"(
port = 9000
memory = "2GiB"
prefix_cache = false
cors-origins = ["https://a.example", "https://b.example"]
top_p = 0.5
connections = 3   # of another command

[models.zebra]
model = "hf:org/repo"
aliases = ["z"]
pin = true
keep_alive = 90
kv_memory = "1GiB"

[models."a/b"]
context = 512
)");
  ASSERT_TRUE(right.ok()) << right.error().message;
  Settings settings;
  ASSERT_TRUE(apply_file_values(settings, Command::kServe, right->values).ok());
  EXPECT_EQ(9000, settings.port);
  EXPECT_EQ(uint64_t{2} << 30, settings.memory_bytes);
  EXPECT_FALSE(settings.prefix_cache);
  EXPECT_EQ((std::vector<std::string>{"https://a.example", "https://b.example"}),
            settings.cors_origins);
  EXPECT_EQ(0.5, settings.top_p);
  EXPECT_EQ(Settings().pull_connections, settings.pull_connections);

  ASSERT_EQ(2u, right->models.size());
  const ModelTable& zebra = right->models[0];  // in the order of the file
  EXPECT_EQ("zebra", zebra.name);
  EXPECT_EQ("hf:org/repo", zebra.model);
  EXPECT_EQ(std::vector<std::string>{"z"}, zebra.aliases);
  EXPECT_TRUE(zebra.pinned);
  EXPECT_EQ("90", zebra.keep_alive);
  ASSERT_TRUE(apply_file_values(settings, Command::kServe, zebra.values).ok());
  EXPECT_EQ(uint64_t{1} << 30, settings.kv_bytes);
  EXPECT_EQ("a/b", right->models[1].name);
  EXPECT_FALSE(right->models[1].pinned);
}

TEST_F(SettingsFileTest, KnowsTheNamesOfOtherServers) {
  const Result<SettingsFile> file = read(R"(
max_rows = 3
max-model-len = 4096
[models.a]
ctx_size = 512
step-tokens = 32
)");
  ASSERT_TRUE(file.ok()) << file.error().message;
  Settings settings;
  ASSERT_TRUE(apply_file_values(settings, Command::kServe, file->values).ok());
  EXPECT_EQ(3, settings.rows_max);
  EXPECT_EQ(4096, settings.context_tokens);
  ASSERT_TRUE(apply_file_values(settings, Command::kServe, file->models.at(0).values).ok());
  EXPECT_EQ(512, settings.context_tokens);
  EXPECT_EQ(32, settings.step_tokens_max);
  EXPECT_NE("no error", error("c = 512\n")) << "a key is a long name";

  const Result<SettingsFile> twice = read("max_num_seqs = 1\nmax_rows = 2\n");
  ASSERT_TRUE(twice.ok());
  const Result<void> applied = apply_file_values(settings, Command::kServe, twice->values);
  ASSERT_FALSE(applied.ok());
  EXPECT_EQ("pippin.toml:2: max_rows: is the same setting as max-num-seqs, which is there, too",
            applied.error().message);
}

TEST_F(SettingsFileTest, NamesTheLineAndTheKeyOfWhatIsWrong) {
  EXPECT_TRUE(error("port = \n").starts_with("pippin.toml:1: ")) << error("port = \n");
  EXPECT_EQ("pippin.toml:2: prot: is no setting; docs/settings.md lists them",
            error("port = 1\nprot = 1\n"));
  EXPECT_EQ("pippin.toml:1: config: a settings file names no other", error("config = 'x'\n"));
  EXPECT_EQ("pippin.toml:1: models: expected tables: [models.\"NAME\"]", error("models = 1\n"));
  EXPECT_EQ("pippin.toml:1: port: expected a text, a number, true, false or a list of them",
            error("port = 2001-01-01\n"));
  EXPECT_EQ("pippin.toml:2: models.a.pin: expected true or false", error("[models.a]\npin = 1\n"));
  EXPECT_EQ("pippin.toml:2: models.a.aliases: expected a list of names",
            error("[models.a]\naliases = 'x'\n"));
  EXPECT_EQ("pippin.toml:2: models.a.model: expected a text", error("[models.a]\nmodel = 1\n"));
  EXPECT_TRUE(error("[models.a]\nport = 1\n")
                  .starts_with("pippin.toml:2: models.a.port: is no setting of a model; there are "
                               "model, aliases, pin, keep-alive, context,"));

  const Result<SettingsFile> file = read("\nmax_rows = 0\n");
  ASSERT_TRUE(file.ok());
  Settings settings;
  const Result<void> applied = apply_file_values(settings, Command::kServe, file->values);
  ASSERT_FALSE(applied.ok());
  EXPECT_EQ("pippin.toml:2: max_rows: expected a whole number from 1 to 4096, got \"0\"",
            applied.error().message);
  EXPECT_EQ(Code::kNotFound, read_settings_file("/nowhere/x.toml").error().code);
}

TEST_F(SettingsFileTest, LiesInTheConfigurationFolder) {
  const std::string folder = folder_.string();
  const Environment environment = [&](const char* name) -> const char* {
    return std::string_view(name) == "XDG_CONFIG_HOME" ? folder.c_str() : nullptr;
  };
  EXPECT_EQ("", settings_file_path("", environment)) << "there is none yet";
  ASSERT_TRUE(read("").ok());
  EXPECT_EQ(path_, settings_file_path("", environment));
  EXPECT_EQ("", settings_file_path("off", environment));
  EXPECT_EQ("other.toml", settings_file_path("other.toml", environment));
}

}  // namespace
}  // namespace pippin::app
