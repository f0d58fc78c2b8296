// BatchRunner: answers the requests of batches, a few at a time, behind all others. What a stopped
// program has left is taken up again. Owner: the routes. Thread: any.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "api/anthropic/seal.h"
#include "api/context.h"
#include "api/exchange.h"
#include "service/batch_store.h"

namespace pippin::api::anthropic {

/// Returns the system's clock, in Unix milliseconds.
int64_t now_ms();

class BatchRunner : public std::enable_shared_from_this<BatchRunner> {
 public:
  /// Requires: context.batches is not null, and outlives every answer.
  BatchRunner(const Context& context, std::shared_ptr<const Seal> seal);

  /// Begins to work, if there is work and it does not do so already. Called at each sign of
  /// interest; does not block.
  void kick();
  /// Notes on whose behalf a batch is worked on; it counts as the caller's while this program runs.
  /// Null: nobody's.
  void own(const std::string& batch, std::shared_ptr<Caller> caller);
  /// Ends the answers to a batch's requests that are under way.
  void cancel(const std::string& batch);

 private:
  friend class BatchExchange;
  using Key = std::pair<std::string, int64_t>;  // batch, place

  void work();
  bool take_one();
  void set_canceller(const Key& key, std::function<void()> canceller);
  void ended(const service::BatchWork& work, const Response& response);

  const Context& context_;
  const std::shared_ptr<const Seal> seal_;
  std::mutex mutex_;
  std::map<Key, std::function<void()>> running_;  // with what ends each; null: not known yet
  std::map<std::string, std::shared_ptr<Caller>> callers_;  // by batch
  bool working_ = false;
  bool again_ = false;   // there may be more work than was seen
  bool paused_ = false;  // the server had no room
};

}  // namespace pippin::api::anthropic
