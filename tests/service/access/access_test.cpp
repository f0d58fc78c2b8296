// API keys: their file, what each may use, and who is let in.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <utility>

#include "service/access/authenticator.h"
#include "service/access/key_quota.h"
#include "service/access/key_store.h"

namespace pippin::service {
namespace {

constexpr int64_t kNoon = 20'000 * 86'400 + 43'200;

std::atomic<int64_t> clock_s{kNoon};
int64_t now() { return clock_s; }

// As a result: the request, or why there is none.
Result<std::shared_ptr<RequestContext>> admit(Authenticator& keeper,
                                              const std::vector<std::string_view>& secrets) {
  Authentication checked = keeper.authenticate(secrets);
  if (checked.refusal) return *checked.refusal;
  return std::move(checked.caller);
}

class Keys : public testing::Test {
 protected:
  Keys() {
    clock_s = kNoon;
    std::filesystem::remove_all(folder_);
  }
  ~Keys() override { std::filesystem::remove_all(folder_); }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("pippin_keys_" + std::to_string(getpid()));
  const std::string path_ = (folder_ / "keys.db").string();
};

TEST_F(Keys, AreKeptAsHashesForTheirOwnerOnly) {
  KeyStore store(path_);
  EXPECT_TRUE(store.list(kNoon)->empty());
  EXPECT_FALSE(std::filesystem::exists(path_)) << "looking makes no file";
  const KeyLimits limits{10, 1000, 50'000, 3};
  const NewKey made = store.create("ann's laptop", limits, kNoon).value();
  EXPECT_EQ(made.secret.size(), 3u + 64u);
  const std::vector<Key> keys = store.list(kNoon).value();
  ASSERT_EQ(keys.size(), 1u);
  EXPECT_EQ(keys[0].name, "ann's laptop");
  EXPECT_EQ(keys[0].limits, limits);
  EXPECT_EQ(keys[0].hash, hash_of_secret(made.secret));
  for (const char* end : {"", "-wal"}) {
    std::ifstream file(path_ + end, std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(file), {});
    EXPECT_EQ(bytes.find(made.secret.substr(3)), std::string::npos) << "the secret is in " << end;
    EXPECT_EQ(
        std::filesystem::status(path_ + end).permissions() & std::filesystem::perms::others_all,
        std::filesystem::perms::none);
  }
}

TEST_F(Keys, KeepWhatTheyMayDo) {
  KeyStore store(path_);
  store.create("plain", {}, kNoon).value();
  const Permissions all{KeyRole::kManage, {"org/bird", "polly"}, 1};
  const NewKey made = store.create("manager", {}, kNoon, all).value();
  const std::vector<Key> keys = KeyStore(path_).list(kNoon).value();
  EXPECT_EQ(keys[0].permissions, Permissions{});
  EXPECT_EQ(keys[1].permissions, all);
  Authenticator keeper(path_, now);
  EXPECT_EQ(admit(keeper, {made.secret}).value()->permissions(), all);
}

TEST_F(Keys, ARefusedKeyIsKnownByName) {
  KeyStore store(path_);
  const NewKey one = store.create("one", {.concurrent = 1}, kNoon).value();
  Authenticator keeper(path_, now);
  const auto running = admit(keeper, {one.secret}).value();
  const Authentication refused = keeper.authenticate({one.secret});
  ASSERT_TRUE(refused.refusal && refused.caller);
  EXPECT_EQ(refused.refusal->code, Code::kRateLimited);
  EXPECT_EQ(refused.caller->key_id(), one.key.id);
  EXPECT_EQ(keeper.authenticate({"pk-0"}).caller, nullptr);
}

TEST_F(Keys, ARevocationOutlivesAPowerCut) {
  Database database(key_database(path_));
  ASSERT_TRUE(database.ensure_open().ok());
  Statement query(database.handle(), "PRAGMA synchronous");
  ASSERT_EQ(query.step(), SQLITE_ROW);
  EXPECT_EQ(query.number(0), 2) << "each commit reaches the disk: FULL";
}

TEST_F(Keys, AreRevokedByIdOrName) {
  KeyStore store(path_);
  const Key one = store.create("one", {}, kNoon)->key;
  EXPECT_EQ(store.create("one", {}, kNoon).error().code, Code::kInvalidArgument);
  EXPECT_EQ(store.create("", {}, kNoon).error().code, Code::kInvalidArgument);
  EXPECT_TRUE(store.revoke("one", kNoon + 5).ok());
  EXPECT_EQ(store.revoke(one.id, kNoon + 6).error().code, Code::kNotFound);
  EXPECT_EQ(store.list(kNoon)->front().revoked_unix_s, kNoon + 5);
  const Key again = store.create("one", {}, kNoon)->key;
  EXPECT_NE(again.id, one.id);
  EXPECT_TRUE(store.revoke(again.id, kNoon).ok());
}

TEST_F(Keys, CountTokensByTheDay) {
  KeyStore store(path_);
  const std::string id = store.create("one", {}, kNoon)->key.id;
  EXPECT_EQ(store.add_tokens(id, day_of(kNoon), 30).value(), 30);
  EXPECT_EQ(KeyStore(path_).add_tokens(id, day_of(kNoon), 12).value(), 42) << "another program";
  EXPECT_EQ(store.add_tokens(id, day_of(kNoon) + 1, 7).value(), 7);
  EXPECT_EQ(store.list(kNoon)->front().tokens_today, 42);
  EXPECT_EQ(store.list(kNoon + 86'400)->front().tokens_today, 7);
}

TEST(MinuteWindow, HoldsSixtySecondsAndNoMore) {
  MinuteWindow window;
  window.add(1000, 5);
  window.add(1030, 7);
  EXPECT_EQ(window.sum(1059), 12);
  EXPECT_EQ(window.sum(1060), 12) << "an event at 1000.9 is within 60 s of 1060.1";
  EXPECT_EQ(window.sum(1061), 7);
  EXPECT_EQ(window.seconds_until(1061, 7), 0);
  EXPECT_EQ(window.seconds_until(1061, 6), 30);
  EXPECT_EQ(window.sum(1091), 0);
  window.add(9999, 1);
  EXPECT_EQ(window.sum(9999), 1);
}

std::shared_ptr<KeyQuota> account(const KeyLimits& limits) {
  Key key;
  key.id = "k";
  key.limits = limits;
  return std::make_shared<KeyQuota>(key, now);
}

TEST_F(Keys, LimitRequestsByTheMinute) {
  const auto key = account({.requests_per_minute = 3});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(key->enter().ok());
  const auto refused = key->enter();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kRateLimited);
  EXPECT_EQ(refused.error().retry_after_s, 61);
  clock_s += 61;
  EXPECT_TRUE(key->enter().ok());
}

TEST_F(Keys, LimitWhatRunsAtTheSameTime) {
  const auto key = account({.concurrent = 2});
  auto one = key->enter().value(), two = key->enter().value();
  EXPECT_EQ(key->enter().error().code, Code::kRateLimited);
  one->leave();
  one.reset();  // counts once
  auto three = key->enter();
  EXPECT_TRUE(three.ok());
  EXPECT_FALSE(key->enter().ok());
}

TEST_F(Keys, LimitTokensByTheMinute) {
  const auto key = account({.tokens_per_minute = 100});
  const auto request = key->enter().value();
  EXPECT_TRUE(request->take_prompt(60).ok());
  EXPECT_EQ(request->take_prompt(41).error().retry_after_s, 61);
  EXPECT_TRUE(request->take_prompt(30).ok());
  for (int i = 0; i < 50; ++i)
    EXPECT_TRUE(request->take_token()) << "an answer that has begun goes on";
  EXPECT_EQ(request->take_prompt(1).error().code, Code::kRateLimited);
  EXPECT_EQ(request->taken().prompt_tokens, 90);
  EXPECT_EQ(request->taken().answer_tokens, 50);
  clock_s += 61;
  EXPECT_TRUE(request->take_prompt(100).ok());
}

TEST_F(Keys, TellTheirLimitsInHeaders) {
  EXPECT_TRUE(account({})->enter().value()->headers().empty());
  const auto request =
      account({.requests_per_minute = 5, .tokens_per_minute = 100})->enter().value();
  ASSERT_TRUE(request->take_prompt(30).ok());
  using Header = std::pair<std::string, std::string>;
  const std::vector<Header> wanted = {
      {"x-ratelimit-limit-requests", "5"},    {"x-ratelimit-remaining-requests", "4"},
      {"x-ratelimit-reset-requests", "61s"},  {"x-ratelimit-limit-tokens", "100"},
      {"x-ratelimit-remaining-tokens", "70"}, {"x-ratelimit-reset-tokens", "61s"}};
  EXPECT_EQ(request->headers(), wanted);
}

// 64 clients ask as fast as they can; what they use together is the quota, to the token.
TEST_F(Keys, QuotaHoldsUnderManyClients) {
  constexpr int64_t kQuota = 10'000;
  std::string secret;
  {
    KeyStore store(path_);
    secret = store.create("one", {.tokens_per_day = kQuota}, kNoon)->secret;
  }
  std::atomic<int64_t> used{0};
  {
    Authenticator keeper(path_, now);
    std::vector<std::thread> clients;
    for (int i = 0; i < 64; ++i) {
      clients.emplace_back([&, i] {
        for (bool refused = false; !refused;) {
          const auto request = admit(keeper, {secret}).value();
          const int64_t prompt = 5 + i;
          if (request->take_prompt(prompt).ok()) {
            used += prompt;
          } else {
            refused = true;
          }
          for (int token = 0; token < 20 && !refused; ++token) {
            if (!request->take_token()) break;
            ++used;
          }
        }
      });
    }
    for (std::thread& client : clients) client.join();
    EXPECT_LE(used, kQuota);
    EXPECT_GT(used, kQuota - 80) << "all but what no prompt fits into";
  }
  EXPECT_EQ(KeyStore(path_).list(kNoon)->front().tokens_today, used) << "and the file knows";
  Authenticator later(path_, now);
  const auto request = admit(later, {secret}).value();
  const auto refused = request->take_prompt(80);
  ASSERT_FALSE(refused.ok()) << "a new server goes on counting";
  EXPECT_EQ(refused.error().retry_after_s, 43'200);
  clock_s += 43'200;
  EXPECT_TRUE(request->take_prompt(80).ok()) << "a new day";
}

TEST_F(Keys, DecideWhoIsLetIn) {
  Authenticator keeper(path_, now);
  EXPECT_FALSE(keeper.asks_for_keys().value());
  EXPECT_EQ(admit(keeper, {}).value(), nullptr);
  EXPECT_EQ(admit(keeper, {"anything"}).value(), nullptr);
  KeyStore store(path_);  // as another program
  const NewKey one = store.create("one", {}, kNoon).value();
  const NewKey two = store.create("two", {}, kNoon).value();
  EXPECT_TRUE(keeper.asks_for_keys().value());
  EXPECT_EQ(admit(keeper, {}).error().code, Code::kUnauthenticated);
  EXPECT_EQ(admit(keeper, {"pk-0"}).error().code, Code::kUnauthenticated);
  EXPECT_EQ(admit(keeper, {one.secret.substr(0, 20)}).error().code, Code::kUnauthenticated);
  EXPECT_EQ(admit(keeper, {one.secret}).value()->key_id(), one.key.id);
  EXPECT_EQ(admit(keeper, {"wrong", two.secret}).value()->key_id(), two.key.id);
  ASSERT_TRUE(store.revoke("one", kNoon).ok());
  EXPECT_EQ(admit(keeper, {one.secret}).error().code, Code::kUnauthenticated);
  ASSERT_TRUE(store.revoke("two", kNoon).ok());
  EXPECT_EQ(admit(keeper, {}).error().code, Code::kUnauthenticated)
      << "without keys the door is shut";
}

TEST_F(Keys, WhatARevokedKeyHasUsedIsSaved) {
  KeyStore store(path_);
  const NewKey one = store.create("one", {}, kNoon).value();
  const NewKey two = store.create("two", {}, kNoon).value();
  Authenticator keeper(path_, now);
  std::shared_ptr<RequestContext> request = admit(keeper, {one.secret}).value();
  ASSERT_TRUE(request->take_prompt(30).ok());
  ASSERT_TRUE(store.revoke("one", kNoon).ok());
  ASSERT_TRUE(admit(keeper, {two.secret}).ok()) << "the keeper has heard of it";
  EXPECT_TRUE(request->take_token()) << "an answer that has begun goes on";
  keeper.save();
  EXPECT_EQ(store.list(kNoon)->front().tokens_today, 31);
  EXPECT_TRUE(request->take_token());
  request.reset();
  keeper.save();
  EXPECT_EQ(store.list(kNoon)->front().tokens_today, 32);
}

TEST_F(Keys, WorkIsResumedForAValidKey) {
  KeyStore store(path_);
  const KeyLimits limits{.requests_per_minute = 1, .tokens_per_day = 50, .concurrent = 1};
  const NewKey one = store.create("one", limits, kNoon).value();
  Authenticator keeper(path_, now);
  const auto asking = admit(keeper, {one.secret}).value();
  const auto resumed = keeper.resume(one.key.id);
  ASSERT_TRUE(resumed.ok()) << "it is no request";
  EXPECT_EQ((*resumed)->key_id(), one.key.id);
  EXPECT_TRUE((*resumed)->take_prompt(40).ok());
  EXPECT_EQ(asking->take_prompt(11).error().code, Code::kRateLimited) << "but what it uses counts";
  EXPECT_EQ(keeper.resume("another").error().code, Code::kUnauthenticated);
  ASSERT_TRUE(store.revoke("one", kNoon).ok());
  EXPECT_EQ(keeper.resume(one.key.id).error().code, Code::kUnauthenticated);
}

// What another program does to the file.
void run_sql(const std::string& path, const char* sql) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
}

constexpr const char* kSpoil = "ALTER TABLE usage RENAME TO spoiled";
constexpr const char* kMend = "ALTER TABLE spoiled RENAME TO usage";

TEST_F(Keys, ARevokedKeyStaysOutWhileKeysCannotBeListed) {
  KeyStore store(path_);
  const std::string secret = store.create("one", {}, kNoon)->secret;
  Authenticator keeper(path_, now);
  ASSERT_TRUE(admit(keeper, {secret}).ok());
  ASSERT_TRUE(store.revoke("one", kNoon).ok());
  run_sql(path_, kSpoil);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(admit(keeper, {secret}).error().code, Code::kUnavailable) << "request " << i;
  run_sql(path_, kMend);
  EXPECT_EQ(admit(keeper, {secret}).error().code, Code::kUnauthenticated);
}

TEST_F(Keys, AFirstKeyThatCannotBeListedOpensNoDoor) {
  Authenticator keeper(path_, now);
  ASSERT_EQ(admit(keeper, {}).value(), nullptr) << "nobody has made a key";
  const std::string secret = KeyStore(path_).create("one", {}, kNoon)->secret;
  run_sql(path_, kSpoil);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(admit(keeper, {}).error().code, Code::kUnavailable) << "request " << i;
  run_sql(path_, kMend);
  EXPECT_EQ(admit(keeper, {}).error().code, Code::kUnauthenticated);
  EXPECT_TRUE(admit(keeper, {secret}).ok());
}

TEST_F(Keys, AFileThatHasLostItsKeysOpensNoDoor) {
  KeyStore(path_).create("one", {}, kNoon).value();
  Authenticator keeper(path_, now);
  ASSERT_EQ(admit(keeper, {}).error().code, Code::kUnauthenticated);
  run_sql(path_, "DELETE FROM keys");
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(admit(keeper, {}).error().code, Code::kUnavailable) << "request " << i;
}

TEST_F(Keys, AFileThatCannotBeLookedAtIsNotTakenForNone) {
  std::filesystem::create_directories(folder_);
  const std::string unknowable = (folder_ / std::string(300, 'x')).string();
  Authenticator unknown(unknowable, now);
  EXPECT_EQ(KeyStore(unknowable).list(kNoon).error().code, Code::kUnavailable);
  EXPECT_EQ(admit(unknown, {}).error().code, Code::kUnavailable);
}

// A connection's own count begins anew with each, so that a change while there is none would be
// missed.
TEST_F(Keys, AChangeIsSeenByWhoOpensTheFileAgain) {
  KeyStore(path_).create("one", {}, kNoon).value();
  int64_t last = KeyStore(path_).version().value();
  const auto is_newer = [&] {
    const int64_t version = KeyStore(path_).version().value();
    return version > std::exchange(last, version);
  };
  EXPECT_FALSE(is_newer());
  KeyStore(path_).create("two", {}, kNoon).value();
  EXPECT_TRUE(is_newer());
  KeyStore(path_).revoke("one", kNoon).value();
  EXPECT_TRUE(is_newer());
  run_sql(path_, "UPDATE keys SET concurrent = 7");
  EXPECT_TRUE(is_newer());
}

// As the version before this one has made it.
TEST_F(Keys, AnOlderFileGoesOn) {
  const std::string secret = KeyStore(path_).create("one", {}, kNoon)->secret;
  run_sql(path_,
          "DROP TRIGGER key_made; DROP TRIGGER key_changed; DROP TRIGGER key_gone;"
          "DROP TABLE changes; ALTER TABLE keys DROP COLUMN role;"
          "ALTER TABLE keys DROP COLUMN models; ALTER TABLE keys DROP COLUMN priority_max;"
          "ALTER TABLE keys DROP COLUMN storage_bytes; PRAGMA user_version = 1");
  Authenticator keeper(path_, now);
  ASSERT_TRUE(admit(keeper, {secret}).ok());
  EXPECT_EQ(admit(keeper, {secret}).value()->permissions().role, KeyRole::kUse) << "the lowest";
  ASSERT_TRUE(KeyStore(path_).revoke("one", kNoon).ok());
  EXPECT_EQ(admit(keeper, {secret}).error().code, Code::kUnauthenticated);
}

TEST_F(Keys, AFileThatCannotBeReadLetsNobodyIn) {
  std::filesystem::create_directories(folder_);
  std::ofstream(path_) << "this is no database, and long enough to be told from one that is empty";
  Authenticator keeper(path_, now);
  EXPECT_EQ(keeper.asks_for_keys().error().code, Code::kUnavailable);
  EXPECT_EQ(admit(keeper, {"x"}).error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace pippin::service
