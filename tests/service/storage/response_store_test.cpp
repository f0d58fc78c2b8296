// The store of responses: what is kept, what goes, and what happens when its file cannot be used.
#include "service/storage/response_store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace pippin::service {
namespace {

namespace fs = std::filesystem;

class ResponseStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "responses-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    options_.path = (folder_ / "state" / "responses.db").string();
    options_.busy_ms = 20;
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path folder_;
  ResponseStoreOptions options_;
};

StoredResponse response(std::string id, std::string previous = {}, size_t bytes = 10) {
  return {std::move(id), "", std::move(previous), std::string(bytes, 'b'), "[]", false, false};
}

TEST_F(ResponseStoreTest, KeepsAcrossARestartAndForItsOwnerOnly) {
  {
    ResponseStore store(options_);
    ASSERT_TRUE(store.put({"resp_1", "", "", R"({"a":"é"})", R"([{"x":1}])", false, false}).ok());
  }
  ResponseStore store(options_);
  const Result<StoredResponse> found = store.get("resp_1", "");
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ(found->body_json, R"({"a":"é"})");
  EXPECT_EQ(found->input_json, R"([{"x":1}])");
  EXPECT_FALSE(found->pending);
  struct stat info {};
  ASSERT_EQ(stat(options_.path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(stat((folder_ / "state").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(ResponseStoreTest, ReplacesAndRemoves) {
  ResponseStore store(options_);
  ASSERT_TRUE(store.put(response("a")).ok());
  ASSERT_TRUE(store.put({"a", "", "", "new", "[]", false, false}).ok());
  EXPECT_EQ(store.get("a", "")->body_json, "new");
  EXPECT_TRUE(store.remove("a", "").ok());
  EXPECT_EQ(store.get("a", "").error().code, Code::kNotFound);
  EXPECT_EQ(store.remove("a", "").error().code, Code::kNotFound);
  EXPECT_EQ(store.get("'; DROP TABLE responses; --", "").error().code, Code::kNotFound);
}

TEST_F(ResponseStoreTest, AChainIsInOrderAndNamesWhatIsMissing) {
  ResponseStore store(options_);
  ASSERT_TRUE(store.put(response("a")).ok());
  ASSERT_TRUE(store.put(response("b", "a")).ok());
  ASSERT_TRUE(store.put(response("c", "b")).ok());
  const auto chain = store.chain("c", "", 1 << 20);
  ASSERT_TRUE(chain.ok());
  ASSERT_EQ(chain->size(), 3u);
  EXPECT_EQ(chain->front().id, "a");
  EXPECT_EQ(chain->back().id, "c");
  EXPECT_EQ(store.chain("c", "", 20).error().code, Code::kTooLarge);
  ASSERT_TRUE(store.remove("b", "").ok());
  EXPECT_NE(store.chain("c", "", 1 << 20).error().message.find("'b'"), std::string::npos);
  ASSERT_TRUE(store.put(response("x", "y")).ok());
  ASSERT_TRUE(store.put(response("y", "x")).ok());
  EXPECT_EQ(store.chain("x", "", 1 << 20).error().code, Code::kTooLarge) << "a circle must end";
}

TEST_F(ResponseStoreTest, TheLeastRecentlyUsedGoFirst) {
  options_.responses_max = 3;
  ResponseStore store(options_);
  ASSERT_TRUE(store.put(response("old")).ok());
  ASSERT_TRUE(store.put(response("a")).ok());
  ASSERT_TRUE(store.put(response("b", "a")).ok());
  ASSERT_TRUE(store.put(response("c", "b")).ok());  // uses a and b, too
  EXPECT_EQ(store.get("old", "").error().code, Code::kNotFound);
  EXPECT_TRUE(store.chain("c", "", 1 << 20).ok());
  ASSERT_TRUE(store.put(response("other")).ok());
  EXPECT_TRUE(store.get("a", "").ok()) << "a conversation is shortened from its end";
  EXPECT_TRUE(store.get("b", "").ok());
  EXPECT_FALSE(store.get("c", "").ok());
}

TEST_F(ResponseStoreTest, BytesAreLimited) {
  options_.bytes_max = 1000;
  ResponseStore store(options_);
  for (int i = 0; i < 10; ++i)
    ASSERT_TRUE(store.put(response("r" + std::to_string(i), "", 300)).ok());
  EXPECT_FALSE(store.get("r6", "").ok());
  EXPECT_TRUE(store.get("r7", "").ok());
  EXPECT_TRUE(store.get("r9", "").ok());
  EXPECT_EQ(store.put(response("huge", "", 2000)).error().code, Code::kTooLarge);
}

TEST_F(ResponseStoreTest, NoKeyPushesOutAnothersShare) {
  options_.bytes_max = 1300;
  ResponseStore store(options_);
  const auto put = [&](const std::string& key, int i, int64_t key_bytes_max = 0) {
    StoredResponse one = response(key + std::to_string(i), "", 98);  // 100 bytes with its input
    one.key_id = key;
    one.key_bytes_max = key_bytes_max;
    ASSERT_TRUE(store.put(one).ok());
  };
  const auto kept = [&](const std::string& key, int most) {
    std::string numbers;
    for (int i = 0; i < most; ++i)
      if (store.get(key + std::to_string(i), key).ok()) numbers += std::to_string(i % 10);
    return numbers;
  };
  for (int i = 0; i < 4; ++i) put("quiet", i);
  for (int i = 0; i < 40; ++i) put("busy", i);
  EXPECT_EQ(kept("quiet", 4), "0123");
  EXPECT_EQ(kept("busy", 40), "123456789") << "its own oldest went";
  for (int i = 4; i < 9; ++i) put("quiet", i);
  EXPECT_EQ(kept("quiet", 9).size() + kept("busy", 40).size(), 13U);
  EXPECT_GE(kept("busy", 40).size(), 4U) << "who holds the most gives";
  for (int i = 0; i < 9; ++i) put("small", i, 250);
  EXPECT_EQ(kept("small", 9), "78") << "a limit of its own";
}

TEST_F(ResponseStoreTest, ADamagedFileIsAClearErrorUntilItIsMovedAway) {
  fs::create_directories(folder_ / "state");
  std::ofstream(options_.path) << std::string(8192, 'x');
  ResponseStore store(options_);
  const Result<void> put = store.put(response("a"));
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(put.error().code, Code::kUnavailable);
  EXPECT_NE(put.error().message.find("damaged"), std::string::npos) << put.error().message;
  EXPECT_EQ(put.error().message.find(options_.path), std::string::npos) << "paths are private";
  fs::rename(options_.path, options_.path + ".broken");
  EXPECT_TRUE(store.put(response("a")).ok());
}

TEST_F(ResponseStoreTest, DamagedPagesAreAnErrorAndNoCrash) {
  {
    ResponseStore store(options_);
    for (int i = 0; i < 50; ++i)
      ASSERT_TRUE(store.put(response("r" + std::to_string(i), "", 3000)).ok());
  }
  {
    std::fstream file(options_.path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);  // the head stays good
    for (int i = 0; i < 40000; ++i) file.put('\xAA');
  }
  ResponseStore store(options_);
  EXPECT_EQ(store.get("r1", "").error().code, Code::kUnavailable);
  EXPECT_EQ(store.put(response("new")).error().code, Code::kUnavailable);
}

TEST_F(ResponseStoreTest, ALockedFileIsAnErrorUntilTheLockGoes) {
  ResponseStore store(options_);
  ASSERT_TRUE(store.put(response("a")).ok());
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(options_.path.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  const Result<void> put = store.put(response("b"));
  ASSERT_FALSE(put.ok());
  EXPECT_NE(put.error().message.find("lock"), std::string::npos) << put.error().message;
  EXPECT_TRUE(store.get("a", "").ok()) << "reading goes on";
  ASSERT_EQ(sqlite3_exec(other, "COMMIT", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  EXPECT_TRUE(store.put(response("b")).ok());
}

TEST_F(ResponseStoreTest, AFileOfANewerVersionIsLeftAlone) {
  fs::create_directories(folder_ / "state");
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(options_.path.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "PRAGMA user_version = 99", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  ResponseStore store(options_);
  EXPECT_NE(store.open().error().message.find("newer"), std::string::npos);
}

TEST_F(ResponseStoreTest, AFileOfTheVersionBeforeIsUpgraded) {
  fs::create_directories(folder_ / "state");
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(options_.path.c_str(), &other), SQLITE_OK);
  const char* old =
      "CREATE TABLE responses(seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
      " previous TEXT NOT NULL, body TEXT NOT NULL, input TEXT NOT NULL, owner TEXT NOT NULL,"
      " bytes INTEGER NOT NULL, used INTEGER NOT NULL);"
      "CREATE INDEX by_use ON responses(used, seq DESC);"
      "INSERT INTO responses VALUES(1, 'a', '', 'body', '[]', '', 6, 1);"
      "PRAGMA user_version = 1";
  ASSERT_EQ(sqlite3_exec(other, old, nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  for (int time = 0; time < 2; ++time) {
    ResponseStore store(options_);
    ASSERT_TRUE(store.get("a", "").ok());
    EXPECT_EQ(store.get("a", "")->body_json, "body");
    EXPECT_EQ(store.get("a", "key").error().code, Code::kNotFound);
    ASSERT_TRUE(store.put(response("b", "a")).ok());
  }
}

TEST_F(ResponseStoreTest, AKeySeesItsOwnOnly) {
  ResponseStore store(options_);
  StoredResponse mine = response("a"), theirs = response("b", "a");
  mine.key_id = "mine";
  theirs.key_id = "theirs";
  ASSERT_TRUE(store.put(mine).ok());
  ASSERT_TRUE(store.put(theirs).ok());
  for (const char* other : {"", "theirs"}) {
    EXPECT_EQ(store.get("a", other).error().code, Code::kNotFound) << other;
    EXPECT_EQ(store.chain("a", other, 1 << 20).error().code, Code::kNotFound) << other;
    EXPECT_EQ(store.remove("a", other).error().code, Code::kNotFound) << other;
  }
  EXPECT_EQ(store.chain("b", "theirs", 1 << 20).error().code, Code::kNotFound)
      << "a chain may not lead into another's";
  EXPECT_EQ(store.get("a", "mine")->key_id, "mine");
  EXPECT_TRUE(store.remove("a", "mine").ok());
}

TEST_F(ResponseStoreTest, AFolderThatCannotBeMadeIsAnError) {
  std::ofstream(folder_ / "file") << "no folder";
  options_.path = (folder_ / "file" / "responses.db").string();
  ResponseStore store(options_);
  EXPECT_EQ(store.open().error().code, Code::kUnavailable);
}

TEST_F(ResponseStoreTest, AnAnswerOfAProcessThatIsGoneIsLost) {
  fs::create_directories(folder_ / "state");
  const pid_t child = fork();
  if (child == 0) {
    StoredResponse pending = response("gone");
    pending.pending = true;
    const bool ok = ResponseStore(options_).put(pending).ok();
    _exit(ok ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  ResponseStore store(options_);
  StoredResponse own = response("own");
  own.pending = true;
  ASSERT_TRUE(store.put(own).ok());
  EXPECT_TRUE(store.get("gone", "")->lost);
  EXPECT_TRUE(store.get("own", "")->pending);
  EXPECT_FALSE(store.get("own", "")->lost);
}

TEST_F(ResponseStoreTest, ManyThreadsAtOnce) {
  ResponseStore store(options_);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&store, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string id = std::to_string(t) + "_" + std::to_string(i);
        EXPECT_TRUE(store.put(response(id)).ok());
        EXPECT_TRUE(store.get(id, "").ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace pippin::service
