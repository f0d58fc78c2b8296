// Which models a server has, by its command line, its settings file and the disk.
#include "app/served_models.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include "app/default_model.h"

namespace pippin::app {
namespace {

namespace fs = std::filesystem;
using std::chrono::minutes;

class ServedModelsTest : public testing::Test {
 protected:
  void SetUp() override {
    home_ = (fs::temp_directory_path() / ("pippin_served_" + std::to_string(getpid()))).string();
    fs::create_directories(home_ + "/data/pippin/models");
    for (const char* name : {"one", "two"})
      std::ofstream(home_ + "/data/pippin/models/" + name + ".gguf") << "GGUF";
    data_ = home_ + "/data";
    settings_.device = "cpu";
  }
  void TearDown() override { fs::remove_all(home_); }

  Environment environment() const {
    return [this](const char* name) -> const char* {
      if (std::string_view(name) == "HOME") return home_.c_str();
      if (std::string_view(name) == "XDG_DATA_HOME") return data_.c_str();
      return nullptr;
    };
  }
  Result<std::vector<NamedModel>> models(const std::vector<std::string>& named) const {
    return named_models(settings_, named, environment());
  }

  std::string home_, data_;
  Settings settings_;
};

TEST_F(ServedModelsTest, ThoseThatWereNamedComeFirst) {
  ModelTable table;
  table.name = "coder";
  table.origin = "pippin.toml:3: models.coder";
  table.model = "~/data/pippin/models/two.gguf";
  table.aliases = {"gpt-4o"};
  table.keep_alive = "10m";
  table.values = {{"context", "512", "pippin.toml:7: models.coder.context"}};
  settings_.model_tables = {table};
  settings_.context_tokens = 4096;
  settings_.record_path = "/tmp/record";
  settings_.pinned = {"gpt-4o"};
  const auto found = models({"one"});
  ASSERT_TRUE(found.ok()) << found.error().message;
  ASSERT_EQ(2u, found->size());
  const NamedModel& one = found->front();
  EXPECT_EQ("one", one.spec.load.id);
  EXPECT_EQ(4096, one.spec.load.memory.context_tokens);
  EXPECT_TRUE(one.at_start);
  EXPECT_FALSE(one.spec.pinned);
  EXPECT_FALSE(one.spec.keep_alive.has_value());
  EXPECT_EQ("/tmp/record", one.spec.load.record_path);
  const NamedModel& coder = found->back();
  EXPECT_EQ("coder", coder.spec.load.id);
  EXPECT_EQ(home_ + "/data/pippin/models/two.gguf", coder.spec.load.path);
  EXPECT_EQ(512, coder.spec.load.memory.context_tokens);
  EXPECT_EQ(minutes(10), coder.spec.keep_alive);
  EXPECT_TRUE(coder.spec.pinned);
  EXPECT_TRUE(coder.at_start) << "what is pinned is loaded at once";
  EXPECT_EQ("", coder.spec.load.record_path) << "one file holds one model's run";
}

TEST_F(ServedModelsTest, WhatIsWrongIsNamed) {
  const auto error = [&](const std::vector<std::string>& named) {
    const auto found = models(named);
    return found.ok() ? std::string("no error") : found.error().message;
  };
  settings_.pinned = {"three"};
  EXPECT_TRUE(error({"one"}).starts_with("--pin: no model here is called three")) << error({"one"});
  settings_.pinned = {};
  settings_.keep_alive = "soon";
  EXPECT_EQ("--keep-alive: expected a time such as 5m or 1h30m, or -1 for no end, got \"soon\"",
            error({"one"}));
  settings_.keep_alive = "";
  ModelTable table;
  table.name = "three";
  table.origin = "pippin.toml:3: models.three";
  settings_.model_tables = {table};
  EXPECT_TRUE(error({"one"}).starts_with("pippin.toml:3: models.three: ")) << error({"one"});
}

TEST_F(ServedModelsTest, KeepAliveHasAnEndOrNone) {
  const auto time = [](const std::string& text) {
    return keep_alive_of(text, "--keep-alive", minutes(3)).value();
  };
  EXPECT_EQ(minutes(3), time(""));
  EXPECT_EQ(minutes(90), time("1h30m"));
  EXPECT_EQ(Duration::zero(), time("0"));
  EXPECT_FALSE(time("-1").has_value());
  EXPECT_FALSE(time("99999999h").has_value()) << "it must not overflow";
}

TEST_F(ServedModelsTest, OnDiskNamesAreLookedUpAndNoPathIsOpened) {
  const hub::Paths paths = model_paths(settings_, environment()).value();
  const auto disk = DiskModels::make(settings_, paths).value();
  ASSERT_EQ(2u, disk->list().size());
  EXPECT_EQ(minutes(5), disk->list().front().keep_alive);
  const auto two = disk->find("two");
  ASSERT_TRUE(two.ok()) << two.error().message;
  EXPECT_EQ("two", two->load.id);
  for (const std::string& path :
       {home_ + "/data/pippin/models/two.gguf", std::string("../models/two"), std::string("")})
    EXPECT_FALSE(disk->find(path).ok()) << path;
}

}  // namespace
}  // namespace pippin::app
