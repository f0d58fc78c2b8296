// BatchStore: batches of requests, each answered when there is time, in one SQLite file: what is
// asked, how far each batch is, and the results until they are fetched and deleted. Owner: the app.
// Thread: any; its own lock. Every call may touch the disk.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace pippin::service {

struct BatchStoreOptions {
  std::string path;                 // made, with its folder, for its owner only; ":memory:" works
  int64_t batches_max = 1000;       // the oldest that have ended go first
  uint64_t bytes_max = 4ULL << 30;  // of all requests and results
  int busy_ms = 500;                // how long to wait for another program's lock
};

/// How a request of a batch has ended.
enum class BatchOutcome : uint8_t { kSucceeded, kErrored, kCanceled, kExpired };

struct Batch {
  std::string id;
  std::string key_id;                      // whose it is; empty where no keys are asked for
  int64_t created_ms = 0, expires_ms = 0;  // of the system's clock
  int64_t cancelled_ms = 0, ended_ms = 0;  // 0: not
  int64_t total = 0, pending = 0;          // requests
  int64_t outcomes[4] = {};                // by BatchOutcome
};

struct BatchRequest {
  std::string custom_id;
  std::string params_json;
};

/// One request of a batch, to be answered.
struct BatchWork {
  std::string batch;
  std::string key_id;  // the batch's
  int64_t place = 0;
  std::string params_json;
};

struct BatchResult {
  std::string custom_id;
  std::string result_json;
};

/// Errors of every call: kUnavailable, when the file cannot be used; kNotFound, no such batch.
class BatchStore {
 public:
  explicit BatchStore(BatchStoreOptions options);
  ~BatchStore();
  BatchStore(const BatchStore&) = delete;
  BatchStore& operator=(const BatchStore&) = delete;

  /// Keeps a new batch; older ones that have ended may have to go, first those of the key that
  /// holds the most. `key_bytes_max`: of all that is kept for the key; 0: no limit of its own.
  /// Errors: kTooLarge, if there is no room for it.
  Result<Batch> create(const std::string& id, const std::string& key_id,
                       const std::vector<BatchRequest>& requests, int64_t now_ms,
                       int64_t expires_ms, int64_t key_bytes_max = 0);
  Result<Batch> get(const std::string& id);
  /// Returns a key's batches, the youngest first.
  Result<std::vector<Batch>> list(const std::string& key_id);
  /// Cancels what nobody works on; the rest is the worker's to end.
  Result<Batch> cancel(const std::string& id, int64_t now_ms);
  /// Errors: kInvalidArgument, if it has not ended.
  Result<void> remove(const std::string& id);
  /// Returns the results in the order of the requests. Errors: kInvalidArgument, if it has not
  /// ended.
  Result<std::vector<BatchResult>> results(const std::string& id);

  /// Takes the next request for this process; of requests that a dead process has left, too. Those
  /// whose time is over end here. Batches of `resting` keys are left for later. Nothing: there is
  /// none.
  Result<std::optional<BatchWork>> take(int64_t now_ms,
                                        const std::vector<std::string>& resting = {});
  /// Returns the keys whose batches have not ended.
  Result<std::vector<std::string>> owners();
  /// Gives a request back, to be taken again. Others' batches come first: this one waits, each time
  /// longer, until one of its requests ends.
  Result<void> put_back(const BatchWork& work, int64_t now_ms);
  /// Returns whether a batch has not ended.
  Result<bool> has_open();
  /// Notes the result of a request that this process has taken. The last one ends its batch.
  Result<void> finish(const BatchWork& work, BatchOutcome outcome, std::string_view result_json,
                      int64_t now_ms);

 private:
  struct Kept;
  std::unique_ptr<Kept> kept_;
};

}  // namespace pippin::service
