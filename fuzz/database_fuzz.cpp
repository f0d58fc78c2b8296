// Any bytes as a file of keys, responses or batches: each call gives a result or an error, and a
// key that was not made is not valid. The first byte chooses whose file it is.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

#include "base/log.h"
#include "service/access/key_store.h"
#include "service/storage/batch_store.h"
#include "service/storage/response_store.h"
#include "target.h"

namespace {

using namespace pippin;
using namespace pippin::service;

constexpr int64_t kNow = 1'700'000'000;

std::string file_with(std::string_view bytes) {
  static const std::string path = "/dev/shm/pippin-database-fuzz-" + std::to_string(getpid());
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) ::unlink((path + suffix).c_str());
  std::ofstream(path, std::ios::binary) << bytes;
  ::chmod(path.c_str(), 0600);
  return path;
}

void use_keys(const std::string& path) {
  KeyStore keys(path);
  static_cast<void>(keys.version());
  const auto listed = keys.list(kNow);
  static_cast<void>(keys.create("a", {}, kNow));
  if (listed.ok() && !listed->empty()) {
    static_cast<void>(keys.add_tokens(listed->front().id, day_of(kNow), 5));
    static_cast<void>(keys.revoke(listed->front().id, kNow));
  }
  static_cast<void>(keys.list(kNow));
}

void use_responses(const std::string& path) {
  ResponseStoreOptions options;
  options.path = path;
  options.busy_ms = 0;
  ResponseStore store(options);
  static_cast<void>(store.open());
  static_cast<void>(store.get("resp_1", ""));
  static_cast<void>(store.chain("resp_2", "", 1 << 20));
  StoredResponse response;
  response.id = "resp_3";
  response.previous_id = "resp_2";
  response.body_json = "{}";
  response.input_json = "[]";
  static_cast<void>(store.put(response));
  static_cast<void>(store.chain("resp_3", "", 1 << 20));
  static_cast<void>(store.remove("resp_1", ""));
}

void use_batches(const std::string& path) {
  BatchStoreOptions options;
  options.path = path;
  options.busy_ms = 0;
  BatchStore store(options);
  static_cast<void>(store.list(""));
  static_cast<void>(store.get("msgbatch_1"));
  for (int i = 0; i < 4; ++i) {
    const auto work = store.take(kNow * 1000);
    if (!work.ok() || !*work) break;
    static_cast<void>(store.finish(**work, BatchOutcome::kSucceeded, "{}", kNow * 1000));
  }
  static_cast<void>(store.create("msgbatch_2", "", {{"a", "{}"}}, kNow * 1000, kNow * 1000 + 1));
  static_cast<void>(store.results("msgbatch_1"));
  static_cast<void>(store.cancel("msgbatch_1", kNow * 1000));
  static_cast<void>(store.remove("msgbatch_1"));
}

}  // namespace

void pippin::fuzz::one_input(std::string_view input) {
  if (input.empty()) return;
  spdlog::set_level(spdlog::level::off);
  const std::string path = file_with(input.substr(1));
  if (byte_at(input, 0) % 3 == 0) use_keys(path);
  if (byte_at(input, 0) % 3 == 1) use_responses(path);
  if (byte_at(input, 0) % 3 == 2) use_batches(path);
}
