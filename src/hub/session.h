// Session: what all parts of one pull share: its options, its progress and its retries. Internal to
// hub. Thread: any.
#pragma once

#include <chrono>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "hub/cancel.h"
#include "hub/http_client.h"
#include "hub/pull.h"

namespace pippin::hub {

class Session {
 public:
  explicit Session(const PullOptions& options)
      : options_(options), cancel_(options.cancel != nullptr ? *options.cancel : never_) {}

  const PullOptions& options() const { return options_; }
  const Cancel& cancel() const { return cancel_; }
  HttpOptions http() const {
    HttpOptions http;
    http.stall = options_.stall;
    http.cancel = &cancel_;
    http.addresses = addresses_;
    return http;
  }
  /// Says whose server the pull begins at: a host that was named by the user or the operator.
  void set_home(const std::string& url) {
    addresses_ = std::make_shared<AddressRule>(host_of(url));
  }

  /// What all items come to, for PullProgress::all_total.
  void set_total(uint64_t bytes);
  /// Tells of a stage. Downloads are told a few times a second, and always when done == total.
  void report(PullStage stage, const std::string& item, uint64_t done = 0, uint64_t total = 0,
              const std::string& note = {});
  /// Counts an item as done.
  void finish_item(uint64_t bytes);

 private:
  const PullOptions& options_;
  const Cancel never_;
  const Cancel& cancel_;
  std::shared_ptr<AddressRule> addresses_;
  std::mutex mutex_;
  uint64_t all_total_ = 0, before_ = 0;
  std::chrono::steady_clock::time_point told_;
};

/// Retries of one connection: counts failures in a row and waits between them, longer each time.
class RetryPolicy {
 public:
  RetryPolicy(Session& session, std::string item) : session_(session), item_(std::move(item)) {}

  /// Something has arrived.
  void reset() { failures_ = 0; }
  /// Waits before another try. Returns `error`, or kCancelled, when there shall be none.
  Result<void> after(const Error& error);
  /// The same for an answer that asks for a pause (429, 503) or is a server's failure.
  Result<void> after(const HttpResponse& answer, const Error& error);
  /// The same without a wait.
  Result<void> at_once(const Error& error);

 private:
  Result<void> wait(std::chrono::milliseconds pause);

  Session& session_;
  const std::string item_;
  int failures_ = 0;
};

/// Returns whether another try may get another answer: 408, 425, 429, 500, 502 to 504, 520 to 524.
bool is_transient(int status);
/// Returns whether an error is the connection's, not the request's.
bool is_transient(const Error& error);

/// Asks for something small and follows redirects; retries transient failures. Errors: of
/// HttpClient; a transient answer that stayed.
Result<HttpResponse> ask(Session& session, const HttpRequest& request);

/// Returns "the server answers 503: Busy", with the words of the hub's own header for that. Not
/// with those of the body: whoever can have a server ask another one must not read what that
/// answers.
std::string status_text(const HttpResponse& answer);

}  // namespace pippin::hub
