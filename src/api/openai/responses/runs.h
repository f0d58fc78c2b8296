// Run: a response that is answered in the background, whoever listens. Runs: those that go on or
// have just ended. Follower: sends a run's events to a client. Thread: any.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/context.h"
#include "api/exchange.h"
#include "service/chat/generation.h"
#include "service/ongoing.h"

namespace pippin::api::openai::responses {

class Run {
 public:
  /// `body_json` is the response object as it is now, `key_id` the key that asked for it.
  Run(std::string body_json, std::string key_id)
      : key_id_(std::move(key_id)), body_json_(std::move(body_json)) {}

  const std::string& key_id() const { return key_id_; }
  std::string body() const;
  bool ended() const;
  /// Notes how far it is. After an end it changes no more.
  void update(const std::string& body_json);
  /// Asks for the end; the last update follows.
  void cancel();
  /// Cancels, and remembers that nothing of it shall be kept.
  void discard();
  bool discarded() const;

  /// Appends events from number `from` on, about `bytes_max` of them; returns the number after the
  /// last.
  size_t events(size_t from, size_t bytes_max, std::string& out) const;
  /// Returns the number of the first event that is still here; a long answer's early ones go.
  size_t first_event() const;
  /// Has `callback` called at every change until the end, once more at the end, and at once if it
  /// has ended. It must not block.
  void subscribe(std::function<void()> callback);

  /// The exchange through which a ResponseStream writes its events here. It holds the ticket until
  /// the end.
  static std::shared_ptr<Exchange> exchange_of(std::shared_ptr<Run> run,
                                               service::Ongoing::Ticket ticket);

 private:
  friend class RunExchange;
  void append(std::string_view bytes);
  void set_canceller(std::function<void()> canceller);
  void notify() const;

  const std::string key_id_;
  mutable std::mutex mutex_;
  std::string body_json_;
  bool ended_ = false, cancelled_ = false, discarded_ = false;
  std::vector<std::string> events_;  // event i has the sequence number i
  size_t events_bytes_ = 0;
  size_t first_event_ = 0;  // those before are empty
  std::function<void()> canceller_;
  std::vector<std::function<void()>> subscribers_;
};

class Runs {
 public:
  void add(const std::string& id, std::shared_ptr<Run> run);
  /// Returns the run, or null; another key's is as good as none.
  std::shared_ptr<Run> find(const std::string& id, const std::string& key_id) const;
  void remove(const std::string& id);

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Run>> runs_;
  std::vector<std::string> order_;  // the oldest first
};

/// Streams a run's events from number `from` on, and then those to come. A client that leaves ends
/// nothing but its stream.
void follow(const Context& context, std::shared_ptr<Exchange> exchange, std::shared_ptr<Run> run,
            size_t from);

}  // namespace pippin::api::openai::responses
