// ResponseStore: answers that clients ask to be kept, in one SQLite file. Owner: the app. Thread:
// any; its own lock. Every call may touch the disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace pippin::service {

struct ResponseStoreOptions {
  std::string path;                 // made, with its folder, for its owner only; ":memory:" works
  int64_t responses_max = 10'000;   // the least recently used go first
  uint64_t bytes_max = 1ULL << 30;  // of all responses
  int busy_ms = 500;                // how long to wait for another program's lock
};

struct StoredResponse {
  std::string id;
  std::string key_id;         // whose it is; empty where no keys are asked for
  std::string previous_id;    // the response it goes on from; empty if none
  std::string body_json;      // the response object
  std::string input_json;     // the array of its own input items
  bool pending = false;       // its answer is still being generated
  bool lost = false;          // out only: pending, but the process that worked on it is gone
  int64_t key_bytes_max = 0;  // in only: of all that is kept for the key; 0: no limit of its own
};

/// Errors of every call: kUnavailable, when the file cannot be used (locked, damaged, disk full, no
/// permission). The next call tries again, so that a repaired file needs no restart. A response of
/// another key than `key_id` is as good as none.
class ResponseStore {
 public:
  explicit ResponseStore(ResponseStoreOptions options);
  ~ResponseStore();
  ResponseStore(const ResponseStore&) = delete;
  ResponseStore& operator=(const ResponseStore&) = delete;

  /// Makes sure that the file can be used. Every other call does so, too.
  Result<void> open();

  /// Keeps a response, or replaces the one of this id. If there are too many, those of the key that
  /// holds the most go, the least recently used first: no key pushes out another's share.
  /// Errors: kTooLarge, if it alone is over `bytes_max`.
  Result<void> put(const StoredResponse& response);
  /// Errors: kNotFound.
  Result<StoredResponse> get(const std::string& id, const std::string& key_id);
  /// Returns a response and those it goes on from, the oldest first. Errors: kNotFound, naming the
  /// one that is missing; kTooLarge, if they hold more than `bytes_max` together.
  Result<std::vector<StoredResponse>> chain(const std::string& id, const std::string& key_id,
                                            size_t bytes_max);
  /// Errors: kNotFound.
  Result<void> remove(const std::string& id, const std::string& key_id);

 private:
  struct Kept;
  std::unique_ptr<Kept> kept_;
};

}  // namespace pippin::service
