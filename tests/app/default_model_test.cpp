#include "app/default_model.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <map>

namespace pippin::app {
namespace {

namespace fs = std::filesystem;

class DefaultModel : public testing::Test {
 protected:
  void SetUp() override {
    home_ = fs::temp_directory_path() / ("pippin-models-" + std::to_string(getpid()));
    fs::create_directories(folder());
  }
  void TearDown() override { fs::remove_all(home_); }

  fs::path folder() const { return home_ / ".local" / "share" / "pippin" / "models"; }
  static void touch(const fs::path& path) { std::ofstream(path) << "x"; }

  Result<std::string> find(const std::string& named) const {
    const auto model = find_model(named, settings_, [this](const char* name) -> const char* {
      const auto place = variables_.find(name);
      return place != variables_.end()          ? place->second.c_str()
             : std::string_view(name) == "HOME" ? home_.c_str()
                                                : nullptr;
    });
    if (!model.ok()) return model.error();
    return model->path.string();
  }

  fs::path home_;
  Settings settings_;
  std::map<std::string, std::string> variables_;
};

TEST_F(DefaultModel, AbsentTellsHowToGetIt) {
  const auto found = find("");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, Code::kNotFound);
  EXPECT_NE(found.error().message.find((folder() / "SmolLM2-135M-Instruct.Q4_1.gguf").string()),
            std::string::npos);
  EXPECT_NE(found.error().message.find("scripts/serve"), std::string::npos);
}

TEST_F(DefaultModel, IsSmolLm2InTheModelsFolder) {
  touch(folder() / "SmolLM2-135M-Instruct.Q4_1.gguf");
  EXPECT_EQ(find("").value(), folder() / "SmolLM2-135M-Instruct.Q4_1.gguf");
  variables_["XDG_DATA_HOME"] = (home_ / "data").string();
  EXPECT_FALSE(find("").ok());
  fs::create_directories(home_ / "data" / "pippin" / "models");
  touch(home_ / "data" / "pippin" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf");
  EXPECT_TRUE(find("").value().starts_with((home_ / "data").string()));
}

TEST_F(DefaultModel, TheVariableWins) {
  touch(folder() / "SmolLM2-135M-Instruct.Q4_1.gguf");
  settings_.default_model = (home_ / "mine.gguf").string();
  EXPECT_NE(find("").error().message.find("PIPPIN_DEFAULT_MODEL"), std::string::npos);
  touch(home_ / "mine.gguf");
  EXPECT_EQ(find("").value(), home_ / "mine.gguf");
}

TEST_F(DefaultModel, PathsAndNames) {
  touch(folder() / "tiny.gguf");
  touch(home_ / "other.bin");
  EXPECT_EQ(find("tiny").value(), folder() / "tiny.gguf");
  EXPECT_EQ(find("tiny.gguf").value(), folder() / "tiny.gguf");
  EXPECT_EQ(find((home_ / "other.bin").string()).value(), home_ / "other.bin");
  EXPECT_FALSE(find("../models/tiny").ok());
}

TEST_F(DefaultModel, AWrongNameListsTheRightOnes) {
  touch(folder() / "b.gguf");
  touch(folder() / "a.gguf");
  touch(folder() / "note.txt");
  const std::string message = find("c").error().message;
  EXPECT_NE(message.find("    a\n    b"), std::string::npos) << message;
  EXPECT_EQ(message.find("note"), std::string::npos);
}

TEST_F(DefaultModel, FoldersAndSchemesAreRefusedByName) {
  EXPECT_EQ(find(home_.string()).error().code, Code::kUnsupported);
  EXPECT_EQ(find("https://example.org/x.gguf").error().code, Code::kUnsupported);
  EXPECT_EQ(find("hf:org/../model").error().code, Code::kInvalidArgument);
}

TEST_F(DefaultModel, NothingIsFetchedOffline) {
  variables_["HF_HUB_OFFLINE"] = "1";
  const auto found = find("hf:org/model");
  EXPECT_EQ(found.error().code, Code::kNotFound);
  EXPECT_NE(found.error().message.find("pippin pull hf:org/model"), std::string::npos);
}

}  // namespace
}  // namespace pippin::app
