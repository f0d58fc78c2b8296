// BatchRunner: answers the requests of batches, a few at a time, behind all others. What a stopped
// program has left is taken up again. A request counts as its batch's key's, also after a restart;
// one that the key has no tokens left for waits, and a key that is revoked ends its batches. Owner:
// the routes. Thread: any.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "api/context.h"
#include "api/exchange.h"
#include "service/storage/batch_store.h"

namespace pippin::api::anthropic {

/// Returns the system's clock, in Unix milliseconds.
int64_t now_ms();

class BatchRunner : public std::enable_shared_from_this<BatchRunner> {
 public:
  /// `answer` handles each request. Requires: context.batches is not null, and outlives every
  /// answer.
  BatchRunner(const Context& context, Handler answer);

  /// Begins with what an earlier run of the program has left, once the server is ready.
  void start() { try_later(); }
  /// Begins to work, if there is work and it does not do so already. Does not block.
  void kick();
  /// Ends the answers to a batch's requests that are under way.
  void cancel(const std::string& batch);

 private:
  friend class BatchExchange;
  using Key = std::pair<std::string, int64_t>;  // batch, place
  using Save = std::function<Result<void>()>;

  void work();
  bool take_one();
  void end_revoked();
  void turn_away(const service::BatchWork& work, const Error& error);
  Result<std::shared_ptr<RequestContext>> holder_of(const std::string& key_id);
  std::vector<std::string> resting_locked();
  void try_later();
  void try_again();
  void save(const Key& key, const Save& save);
  void set_canceller(const Key& key, std::function<void()> canceller);
  void ended(const service::BatchWork& work, const Response& response);

  const Context& context_;
  const Handler answer_;
  std::mutex mutex_;
  std::map<Key, std::function<void()>> running_;  // with what ends each; null: not known yet
  std::map<std::string, int64_t> resting_;  // keys that have used what they may, until when (ms)
  std::map<Key, Save> unsaved_;  // ends that the store could not note yet; they hold their places
  bool working_ = false;
  bool again_ = false;  // there may be more work than was seen
  bool armed_ = false;  // try_again() will be called
};

}  // namespace pippin::api::anthropic
