// The model pool and caches that take what there is: they shrink before a model goes, and grow
// back.
#include <gtest/gtest.h>

#include <algorithm>

#include "service/models/model_pool_fixture.h"

namespace pippin::service {
namespace {

using testing_models::kMiB;
using testing_models::kModel;

using std::chrono::minutes;
using std::chrono::seconds;

class ModelPoolMemoryTest : public testing_models::ModelPoolFixture {
 protected:
  void SetUp() override { loader_.elastic = true; }
  uint64_t bytes(const std::string& name) { return pool_->look(name)->memory_bytes; }
};

TEST_F(ModelPoolMemoryTest, ThreeModelsStayWhereTheirContextsFit) {
  make(4 * kModel, {"a", "b", "c"});
  get("a");
  EXPECT_EQ(4 * kModel, bytes("a")) << "alone it takes all";
  for (int round = 0; round < 3; ++round) {
    for (const char* name : {"b", "c", "a"}) {
      clock_.advance(seconds(1));
      get(name);
    }
  }
  EXPECT_EQ((Names{"a", "b", "c"}), loaded());
  EXPECT_EQ((Names{"a", "b", "c"}), loader_.loaded) << "each was loaded once";
  EXPECT_GE(bytes("c"), kModel) << "a whole context fits";
  EXPECT_LE(loader_.device.bytes_max, 4 * kModel);
}

TEST_F(ModelPoolMemoryTest, AModelGoesWhereEvenOneContextDoesNotFit) {
  make(2 * kModel, {"a", "b", "c"});
  for (const char* name : {"a", "b"}) {
    get(name);
    clock_.advance(seconds(1));
  }
  EXPECT_EQ(kModel, bytes("a"));
  get("c");
  EXPECT_EQ((Names{"b", "c"}), loaded());
}

TEST_F(ModelPoolMemoryTest, NobodyTakesTheCacheOfAModelInUse) {
  make(3 * kModel, {"a", "b", "c"});
  const auto held = get("a");
  clock_.advance(seconds(1));
  const auto b = ask("b");
  settle();
  EXPECT_EQ(3 * kModel, bytes("a"));
  EXPECT_FALSE(b->done()) << "it waits for the end of the request";
  held->lease.reset();
  settle();
  EXPECT_TRUE(b->lease.has_value());
}

TEST_F(ModelPoolMemoryTest, ACacheGrowsBackWhenTheOthersHaveGone) {
  make(4 * kModel, {"a"});
  ASSERT_TRUE(pool_->add(spec("b", minutes(1))).ok());
  get("a");
  clock_.advance(seconds(1));
  get("b");
  EXPECT_LE(bytes("a"), 2 * kModel);
  clock_.advance(minutes(2));
  settle();
  EXPECT_EQ(ModelState::kUnloaded, state("b"));
  EXPECT_EQ(4 * kModel, bytes("a"));
}

TEST_F(ModelPoolMemoryTest, ADeviceThatKeepsItsMemoryLosesTheModel) {
  loader_.gives_back = false;
  make(4 * kModel, {"a", "b"});
  get("a");
  clock_.advance(seconds(1));
  get("b");
  EXPECT_EQ(Names{"b"}, loaded());
}

}  // namespace
}  // namespace pippin::service
