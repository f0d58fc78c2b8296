// BatchStore: the life of a batch, and what another process or a restart finds.
#include "service/batch_store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "service/process.h"

namespace pippin::service {
namespace {

constexpr int64_t kNow = 1'700'000'000'000, kLater = kNow + 1000;

BatchStoreOptions memory() {
  BatchStoreOptions options;
  options.path = ":memory:";
  return options;
}

std::vector<BatchRequest> requests(int count) {
  std::vector<BatchRequest> requests;
  for (int i = 0; i < count; ++i)
    requests.push_back({"id" + std::to_string(i), "{\"n\":" + std::to_string(i) + "}"});
  return requests;
}

int64_t outcome(const Batch& batch, BatchOutcome of) {
  return batch.outcomes[static_cast<size_t>(of)];
}

TEST(BatchStore, LeavesRestingKeysForLater) {
  BatchStore store(memory());
  ASSERT_TRUE(store.create("b1", "ann", requests(1), kNow, kLater).ok());
  ASSERT_TRUE(store.create("b2", "bob", requests(1), kNow, kLater).ok());
  EXPECT_EQ(store.owners().value(), (std::vector<std::string>{"ann", "bob"}));
  EXPECT_FALSE(store.take(kNow, {"ann", "bob"})->has_value());
  const BatchWork first = **store.take(kNow, {"ann"});
  EXPECT_EQ(first.batch + first.key_id, "b2bob");
  EXPECT_EQ((*store.take(kNow))->key_id, "ann");
  ASSERT_TRUE(store.finish(first, BatchOutcome::kSucceeded, "{}", kNow).ok());
  EXPECT_EQ(store.owners().value(), std::vector<std::string>{"ann"}) << "whose batch has not ended";
}

TEST(BatchStore, AnswersInOrderAndEndsWithTheLast) {
  BatchStore store(memory());
  const auto made = store.create("b1", "", requests(2), kNow, kLater);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->total, 2);
  EXPECT_EQ(made->pending, 2);
  const BatchWork first = **store.take(kNow), second = **store.take(kNow);
  EXPECT_EQ(first.params_json, "{\"n\":0}");
  EXPECT_EQ(second.params_json, "{\"n\":1}");
  EXPECT_FALSE(store.take(kNow)->has_value());
  EXPECT_FALSE(store.results("b1").ok()) << "not yet";
  EXPECT_EQ(store.remove("b1").error().code, Code::kInvalidArgument);
  ASSERT_TRUE(store.finish(second, BatchOutcome::kErrored, "{\"b\":1}", kNow).ok());
  EXPECT_EQ(store.get("b1")->ended_ms, 0);
  ASSERT_TRUE(store.finish(first, BatchOutcome::kSucceeded, "{\"a\":1}", kLater).ok());
  const auto ended = store.get("b1");
  EXPECT_EQ(ended->ended_ms, kLater);
  EXPECT_EQ(outcome(*ended, BatchOutcome::kSucceeded), 1);
  EXPECT_EQ(outcome(*ended, BatchOutcome::kErrored), 1);
  const auto results = store.results("b1");
  ASSERT_TRUE(results.ok());
  ASSERT_EQ(results->size(), 2U);
  EXPECT_EQ((*results)[0].custom_id, "id0");
  EXPECT_EQ((*results)[0].result_json, "{\"a\":1}");
  ASSERT_TRUE(store.remove("b1").ok());
  EXPECT_EQ(store.get("b1").error().code, Code::kNotFound);
  EXPECT_EQ(store.results("b1").error().code, Code::kNotFound);
}

TEST(BatchStore, WhatIsPutBackIsTakenAgain) {
  BatchStore store(memory());
  ASSERT_TRUE(store.create("b1", "", requests(1), kNow, kLater).ok());
  const BatchWork work = **store.take(kNow);
  ASSERT_TRUE(store.put_back(work).ok());
  EXPECT_EQ((*store.take(kNow))->place, work.place);
}

TEST(BatchStore, CancelEndsWhatWaits) {
  BatchStore store(memory());
  ASSERT_TRUE(store.create("b1", "", requests(3), kNow, kLater).ok());
  const BatchWork work = **store.take(kNow);
  const auto cancelled = store.cancel("b1", kNow);
  ASSERT_TRUE(cancelled.ok());
  EXPECT_EQ(cancelled->cancelled_ms, kNow);
  EXPECT_EQ(cancelled->ended_ms, 0) << "one is being answered";
  EXPECT_FALSE(store.take(kNow)->has_value());
  ASSERT_TRUE(store.put_back(work).ok());
  EXPECT_FALSE(store.take(kNow)->has_value()) << "nor is it taken again";
  const auto ended = store.get("b1");
  EXPECT_EQ(ended->ended_ms, kNow);
  EXPECT_EQ(outcome(*ended, BatchOutcome::kCanceled), 3);
  EXPECT_EQ((*store.results("b1"))[2].result_json, R"({"type":"canceled"})");
  EXPECT_EQ(store.cancel("b1", kLater)->cancelled_ms, kNow) << "an end stays as it is";
  EXPECT_EQ(store.cancel("b2", kLater).error().code, Code::kNotFound);
}

TEST(BatchStore, LateRequestsExpire) {
  BatchStore store(memory());
  ASSERT_TRUE(store.create("b1", "", requests(2), kNow, kLater).ok());
  EXPECT_FALSE(store.take(kLater)->has_value());
  EXPECT_EQ(outcome(*store.get("b1"), BatchOutcome::kExpired), 2);
}

TEST(BatchStore, ListsTheYoungestFirstAndForgetsTheOldest) {
  BatchStoreOptions options = memory();
  options.batches_max = 2;
  BatchStore store(options);
  for (const char* id : {"b1", "b2"}) {
    ASSERT_TRUE(store.create(id, "", requests(1), kNow, kLater).ok());
    ASSERT_TRUE(store.finish(**store.take(kNow), BatchOutcome::kSucceeded, "{}", kNow).ok());
  }
  ASSERT_TRUE(store.create("b3", "", requests(1), kNow, kLater).ok());
  const auto batches = store.list("");
  ASSERT_TRUE(batches.ok());
  ASSERT_EQ(batches->size(), 2U);
  EXPECT_EQ((*batches)[0].id, "b3");
  EXPECT_EQ((*batches)[1].id, "b2");
  ASSERT_TRUE(store.create("b4", "", requests(1), kNow, kLater).ok());
  EXPECT_EQ(store.create("b5", "", requests(1), kNow, kLater).error().code, Code::kTooLarge)
      << "those that are at work stay";
  EXPECT_EQ(store.get("b5").error().code, Code::kNotFound);
}

TEST(BatchStore, KeysHaveTheirOwn) {
  BatchStore store(memory());
  ASSERT_TRUE(store.create("b1", "key1", requests(1), kNow, kLater).ok());
  ASSERT_TRUE(store.create("b2", "key2", requests(1), kNow, kLater).ok());
  ASSERT_EQ(store.list("key1")->size(), 1U);
  EXPECT_EQ(store.list("key1")->front().id, "b1");
  EXPECT_EQ(store.get("b2")->key_id, "key2");
  EXPECT_TRUE(store.list("")->empty());
}

TEST(BatchStore, AnotherStoreOfTheFileGoesOn) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("batches-" + process_name() + ".db")).string();
  BatchStoreOptions options;
  options.path = path;
  {
    BatchStore store(options);
    ASSERT_TRUE(store.create("b1", "", requests(2), kNow, kLater).ok());
    ASSERT_TRUE((*store.take(kNow)).has_value());
  }
  BatchStore store(options);
  EXPECT_EQ((*store.take(kNow))->place, 1) << "the first is this living process's own";
  EXPECT_EQ(store.get("b1")->pending, 2);
  for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(path + end);
}

TEST(Processes, AreToldApart) {
  EXPECT_TRUE(process_lives(process_name()));
  EXPECT_FALSE(process_lives(process_name() + "1")) << "an earlier one of this number";
  EXPECT_FALSE(process_lives("0:1"));
  EXPECT_FALSE(process_lives(""));
  EXPECT_TRUE(process_lives("1:1"));
}

}  // namespace
}  // namespace pippin::service
