// BatchStore: the life of a batch, and what another process or a restart finds.
#include "service/storage/batch_store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
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

/// A path for a store, whose files go with it.
class TemporaryFile {
 public:
  TemporaryFile() {
    static int count = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("batches-" + std::to_string(getpid()) + "-" + std::to_string(count++) + ".db");
  }
  ~TemporaryFile() {
    for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(path_.string() + end);
  }
  std::string path() const { return path_.string(); }
  BatchStoreOptions options() const {
    BatchStoreOptions options;
    options.path = path();
    return options;
  }

 private:
  std::filesystem::path path_;
};

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

TEST(BatchStore, WhatIsPutBackLetsOthersGoFirst) {
  BatchStore store(memory());
  const int64_t late = kNow + 3'600'000;
  ASSERT_TRUE(store.create("b1", "", requests(1), kNow, late).ok());
  ASSERT_TRUE(store.create("b2", "", requests(2), kNow, late).ok());
  const BatchWork work = **store.take(kNow);
  EXPECT_EQ(work.batch, "b1");
  ASSERT_TRUE(store.put_back(work, kNow).ok());
  EXPECT_EQ((*store.take(kNow))->batch, "b2") << "another's batch comes first";
  const BatchWork again = **store.take(kNow + 1000);
  EXPECT_EQ(again.batch, "b1") << "a second later it is its turn again, before younger ones";
  ASSERT_TRUE(store.put_back(again, kNow + 1000).ok());
  EXPECT_EQ((*store.take(kNow + 2000))->batch, "b2");
  EXPECT_FALSE(store.take(kNow + 2999)->has_value()) << "each time it waits longer";
  EXPECT_TRUE(store.take(kNow + 3000)->has_value());
}

TEST(BatchStore, AWaitIsAMinuteAtMostWhateverTheClockDoes) {
  BatchStore store(memory());
  const int64_t late = kNow + 86'400'000;
  ASSERT_TRUE(store.create("b1", "", requests(1), kNow, late).ok());
  int64_t now = kNow;
  for (int i = 0; i < 20; ++i, now += 60'000) {
    const auto work = store.take(now);
    ASSERT_TRUE(work.ok() && work->has_value()) << i;
    ASSERT_TRUE(store.put_back(**work, now).ok());
  }
  EXPECT_TRUE(store.take(kNow - 3'600'000)->has_value()) << "the clock was set back";
}

TEST(BatchStore, OnlyWhoHasARequestEndsIt) {
  BatchStore store(memory());
  ASSERT_TRUE(store.create("b1", "", requests(1), kNow, kLater).ok());
  const BatchWork work{"b1", "", 0, "{}"};
  ASSERT_TRUE(store.finish(work, BatchOutcome::kSucceeded, "{}", kNow).ok());
  EXPECT_EQ(store.get("b1")->pending, 1) << "nobody had taken it";
  ASSERT_TRUE(store.take(kNow)->has_value());
  for (int i = 0; i < 2; ++i)
    ASSERT_TRUE(store.finish(work, BatchOutcome::kSucceeded, "{}", kNow).ok());
  EXPECT_EQ(outcome(*store.get("b1"), BatchOutcome::kSucceeded), 1) << "it counts once";
  EXPECT_EQ(store.get("b1")->total, 1);
}

// With a body of 4 KiB for each, as prompts have. Counting over the rows took a minute of processor
// time for so many.
TEST(BatchStore, TenThousandRequestsTakeSeconds) {
  constexpr int kCount = 10'000;
  const TemporaryFile file;
  BatchStore store(file.options());
  std::vector<BatchRequest> many;
  for (int i = 0; i < kCount; ++i) many.push_back({std::to_string(i), std::string(4096, 'x')});
  const std::clock_t began = std::clock();
  ASSERT_TRUE(store.create("b1", "", many, kNow, kLater).ok());
  for (int i = 0; i < kCount; ++i) {
    const auto work = store.take(kNow);
    ASSERT_TRUE(work.ok() && work->has_value());
    ASSERT_TRUE(store.finish(**work, BatchOutcome::kSucceeded, "{}", kNow).ok());
    ASSERT_TRUE(store.get("b1").ok());
  }
  const double seconds = static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
  EXPECT_EQ(outcome(*store.get("b1"), BatchOutcome::kSucceeded), kCount);
  EXPECT_GT(store.get("b1")->ended_ms, 0);
  EXPECT_LT(seconds, 20);
}

// A file as version 1 wrote it.
TEST(BatchStore, CountsWhatAnOlderProgramHasLeft) {
  const TemporaryFile file;
  sqlite3* old = nullptr;
  ASSERT_EQ(sqlite3_open(file.path().c_str(), &old), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(old, R"(
CREATE TABLE batches(seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, key TEXT NOT NULL,
  created INTEGER NOT NULL, expires INTEGER NOT NULL, cancelled INTEGER NOT NULL DEFAULT 0,
  ended INTEGER NOT NULL DEFAULT 0);
CREATE TABLE requests(batch TEXT NOT NULL REFERENCES batches(id), place INTEGER NOT NULL,
  custom_id TEXT NOT NULL, params TEXT NOT NULL, state INTEGER NOT NULL DEFAULT -2,
  owner TEXT NOT NULL DEFAULT '', result TEXT NOT NULL DEFAULT '', PRIMARY KEY(batch, place)) WITHOUT ROWID;
CREATE INDEX open_requests ON requests(batch, place) WHERE state < 0;
INSERT INTO batches(id, key, created, expires) VALUES('b1', '', 1, 1800000000000);
INSERT INTO requests VALUES('b1', 0, 'a', '{}', 0, '', '{}'), ('b1', 1, 'b', '{}', -2, '', ''),
  ('b1', 2, 'c', '{}', -1, '999999999:1', '');
PRAGMA user_version = 1;)",
                         nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(old);
  BatchStore store(file.options());
  const auto batch = store.get("b1");
  ASSERT_TRUE(batch.ok()) << batch.error().message;
  EXPECT_EQ(batch->total, 3);
  EXPECT_EQ(batch->pending, 2);
  EXPECT_EQ(outcome(*batch, BatchOutcome::kSucceeded), 1);
  for (int i = 0; i < 2; ++i)
    ASSERT_TRUE(store.finish(**store.take(kNow), BatchOutcome::kErrored, "{}", kNow).ok());
  EXPECT_EQ(store.get("b1")->ended_ms, kNow);
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
  ASSERT_TRUE(store.put_back(work, kNow).ok());
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

TEST(BatchStore, NoKeyPushesOutAnothersShare) {
  BatchStoreOptions options = memory();
  options.batches_max = 6;
  BatchStore store(options);
  const auto make = [&](const std::string& id, const std::string& key, int64_t bytes_max = 0) {
    return store.create(id, key, requests(1), kNow, kLater, bytes_max);
  };
  const auto end_all = [&] {
    for (;;) {
      const auto work = store.take(kNow);
      ASSERT_TRUE(work.ok());
      if (!*work) return;
      ASSERT_TRUE(store.finish(**work, BatchOutcome::kSucceeded, "{}", kNow).ok());
    }
  };
  for (const char* id : {"q1", "q2"}) ASSERT_TRUE(make(id, "quiet").ok());
  end_all();
  for (int i = 0; i < 9; ++i) {
    ASSERT_TRUE(make("b" + std::to_string(i), "busy").ok());
    end_all();
  }
  EXPECT_EQ(store.list("quiet")->size(), 2U);
  EXPECT_EQ(store.list("busy")->size(), 4U);
  for (const char* id : {"o1", "o2", "o3"}) ASSERT_TRUE(make(id, "open").ok());
  EXPECT_EQ(make("o4", "open").error().code, Code::kTooLarge) << "half is for the others";
  EXPECT_TRUE(make("q3", "quiet").ok());
  end_all();
  EXPECT_EQ(make("s1", "small", 1).error().code, Code::kTooLarge) << "a limit of its own";
  EXPECT_EQ(store.list("quiet")->size(), 2U) << "what was refused has pushed nothing out";
}

TEST(BatchStore, AnotherStoreOfTheFileGoesOn) {
  const TemporaryFile file;
  {
    BatchStore store(file.options());
    ASSERT_TRUE(store.create("b1", "", requests(2), kNow, kLater).ok());
    ASSERT_TRUE((*store.take(kNow)).has_value());
  }
  BatchStore store(file.options());
  EXPECT_EQ((*store.take(kNow))->place, 1) << "the first is this living process's own";
  EXPECT_EQ(store.get("b1")->pending, 2);
}

TEST(Processes, AreToldApart) {
  EXPECT_TRUE(process_lives(process_name()));
  EXPECT_FALSE(process_lives(process_name() + "1")) << "an earlier one of this number";
  EXPECT_FALSE(process_lives("0:1"));
  EXPECT_FALSE(process_lives(""));
  EXPECT_FALSE(process_lives("1:1")) << "of a program that did not say when it was started";
}

// What this process sees of another, by the name that the other gives itself.
TEST(Processes, ANumberThatIsUsedAgainIsNoLife) {
  int name_pipe[2], end_pipe[2];
  ASSERT_EQ(pipe(name_pipe), 0);
  ASSERT_EQ(pipe(end_pipe), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(end_pipe[1]);
    const std::string name = process_name();
    char unused = 0;
    if (write(name_pipe[1], name.data(), name.size()) > 0) (void)!read(end_pipe[0], &unused, 1);
    _exit(0);
  }
  char name_bytes[256];
  const ssize_t size = read(name_pipe[0], name_bytes, sizeof(name_bytes));
  ASSERT_GT(size, 0);
  const std::string name(name_bytes, static_cast<size_t>(size));
  EXPECT_TRUE(process_lives(name));
  const size_t start = name.find(':') + 1, end = name.rfind(':');
  ASSERT_GT(end, start) << "a name tells when its process was started";
  std::string later = name;
  later[end - 1] = later[end - 1] == '0' ? '1' : '0';
  EXPECT_FALSE(process_lives(later)) << "its number belongs to another process now";
  for (const int end_of_pipe : {end_pipe[0], end_pipe[1], name_pipe[0], name_pipe[1]})
    close(end_of_pipe);
  waitpid(child, nullptr, 0);
  EXPECT_FALSE(process_lives(name));
}

}  // namespace
}  // namespace pippin::service
