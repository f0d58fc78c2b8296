// KeyQuota: what one key has used of its limits, counted while the server runs. MinuteWindow: a
// sum over the last minute. Owner: shared by the authenticator and its requests' contexts. Thread:
// any; a quota has its own lock, a window none.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>

#include "base/request_context.h"
#include "service/access/key_store.h"

namespace pippin::service {

/// Counts by seconds, so that what lies in any 60 seconds is never more than the sum.
class MinuteWindow {
 public:
  /// Requires: `second` does not fall.
  void add(int64_t second, int64_t count);
  int64_t sum(int64_t second);
  /// Returns after how many seconds the sum is at most `most`; 0 if it is now.
  int seconds_until(int64_t second, int64_t most);

 private:
  static constexpr int64_t kSeconds = 61;  // the running one and 60 whole ones
  void forget(int64_t second);

  std::array<int64_t, kSeconds> counts_{};
  int64_t last_ = 0;
  int64_t sum_ = 0;
};

class KeyQuota : public std::enable_shared_from_this<KeyQuota> {
 public:
  /// Times are in seconds since 1970.
  using Now = int64_t (*)();
  KeyQuota(const Key& key, Now now) : now_(now), key_(key), day_(day_of(now())) {}

  /// Begins the context of a request. Errors: kRateLimited, saying when to try again.
  Result<std::shared_ptr<RequestContext>> enter();
  /// Begins a context that is no request, to go on with work that one has left.
  std::shared_ptr<RequestContext> resume();
  /// Takes over limits that have changed.
  void update(const Key& key);

  /// What was used on a day and is not in the file yet; zero tokens if nothing.
  struct Unsaved {
    int64_t day = 0, tokens = 0;
  };
  Unsaved take_unsaved();
  /// Tells what the file has of a day, with what others have used.
  void saved(int64_t day, int64_t tokens_in_file);
  /// Puts back what could not be saved.
  void not_saved(const Unsaved& unsaved);

 private:
  class Context;
  void roll_day(int64_t now);
  void count(int64_t now, int64_t tokens);

  const Now now_;
  mutable std::mutex mutex_;
  Key key_;  // tokens_today: of day_, all that is known
  int64_t day_;
  int64_t unsaved_ = 0;  // of tokens_today
  int64_t running_ = 0;
  MinuteWindow requests_, tokens_;
};

}  // namespace pippin::service
