// The model pool over a disk that others change: what is found, what is newer, what is gone.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "service/models/model_pool_fixture.h"

namespace pippin::service {
namespace {

using std::chrono::minutes;
using testing_models::kModel;

class ModelPoolDiskTest : public testing_models::ModelPoolFixture {};

/// Models of a disk that others may change.
class FakeDisk final : public ModelSource {
 public:
  std::vector<std::string> names;
  std::string version = "1";
  int finds = 0;

  Result<ModelSpec> find(std::string_view name) override {
    ++finds;
    for (ModelSpec& spec : list())
      if (spec.load.id == name || spec.load.aliases.front() == name) return std::move(spec);
    return fail(Code::kNotFound, "not here");
  }
  std::vector<ModelSpec> list() override {
    std::vector<ModelSpec> specs(names.size());
    for (size_t i = 0; i < names.size(); ++i) {
      specs[i].load.id = names[i];
      specs[i].load.path = names[i] + "/" + version;
      specs[i].load.aliases = {"disk:" + names[i]};
      specs[i].keep_alive = minutes(5);
    }
    return specs;
  }
};

TEST_F(ModelPoolDiskTest, FindsModelsOfItsSource) {
  FakeDisk disk;
  disk.names = {"a", "found"};
  make(2 * kModel, {"a"}, &disk);
  EXPECT_TRUE(pool_->knows("disk:found"));
  EXPECT_FALSE(pool_->knows("lost"));
  const int finds = disk.finds;
  EXPECT_TRUE(pool_->knows("found"));
  EXPECT_EQ(finds, disk.finds) << "it is known by now";
  const auto ids = [this] {
    Names names;
    for (const ModelStatus& status : pool_->list()) names.push_back(status.info.id);
    return names;
  };
  EXPECT_EQ((Names{"a", "found"}), ids());
  EXPECT_EQ(1u, pool_->states().size()) << "what only lies there is none of the server's";
  get("found");
  EXPECT_EQ(2u, pool_->states().size());
  EXPECT_TRUE(pool_->look("found")->found);
  disk.names = {"new"};
  EXPECT_EQ((Names{"a", "found", "new"}), ids()) << "it is loaded still";
  clock_.advance(minutes(5));
  settle();
  EXPECT_EQ((Names{"a", "new"}), ids());
}

TEST_F(ModelPoolDiskTest, ANewVersionOnDiskIsServedOnceItIsThere) {
  FakeDisk disk;
  disk.names = {"found"};
  make(2 * kModel, {"a"}, &disk);
  auto before = get("found");
  ASSERT_TRUE(before->lease.has_value());
  disk.version = "2";
  pool_->refresh("disk:found");
  settle();
  EXPECT_EQ(pool_->look("found")->state, ModelState::kUnloading) << "an answer still runs";
  EXPECT_EQ(1u, loader_.device.loads);
  before->lease.reset();
  EXPECT_TRUE(get("found")->lease.has_value());
  EXPECT_EQ(2u, loader_.device.loads) << "the new version";
  EXPECT_EQ("found/2", loader_.paths.back());
  pool_->refresh("found");
  settle();
  EXPECT_TRUE(get("found")->lease.has_value());
  EXPECT_EQ(2u, loader_.device.loads) << "it is the same";
}

TEST_F(ModelPoolDiskTest, WhatChangesOnDiskWhileItRestsIsSeenAtTheNextLoad) {
  FakeDisk disk;
  disk.names = {"found"};
  make(2 * kModel, {"a"}, &disk);
  EXPECT_TRUE(pool_->knows("found"));
  disk.version = "2";
  EXPECT_TRUE(get("found")->lease.has_value());
  EXPECT_EQ("found/2", loader_.paths.back());
}

TEST_F(ModelPoolDiskTest, ANewVersionThatComesDuringTheLoadIsLoadedInstead) {
  FakeDisk disk;
  disk.names = {"found"};
  make(2 * kModel, {"a"}, &disk);
  loader_.during = [&](const ModelLoader::Progress&) {
    if (disk.version == "2") return;
    disk.version = "2";
    pool_->refresh("found");
  };
  EXPECT_TRUE(get("found")->lease.has_value());
  EXPECT_EQ("found/2", loader_.paths.back());
  EXPECT_EQ(2u, loader_.device.loads);
}

TEST_F(ModelPoolDiskTest, WhatIsGoneFromTheDiskAnswersNoMore) {
  FakeDisk disk;
  disk.names = {"found"};
  make(2 * kModel, {"a"}, &disk);
  auto running = get("found");
  disk.names = {};
  pool_->refresh("found");
  EXPECT_FALSE(pool_->knows("found"));
  EXPECT_EQ(Code::kNotFound, ask("found")->error->code);
  EXPECT_EQ("found", (*running->lease)->id) << "what runs may go on";
  running->lease.reset();
  settle();
  EXPECT_EQ(0u, pool_->used_bytes());
  disk.names = {"found"};
  EXPECT_TRUE(get("found")->lease.has_value()) << "it came back";
}

}  // namespace
}  // namespace pippin::service
