#include "hub/session.h"

#include <fmt/format.h>

#include <algorithm>

namespace pippin::hub {
namespace {

constexpr auto kTellEvery = std::chrono::milliseconds(100);
constexpr auto kFirstPause = std::chrono::milliseconds(250);
constexpr auto kLongestPause = std::chrono::milliseconds(8000);

Error cancelled() { return fail(Code::kCancelled, "[hub] cancelled"); }

}  // namespace

void Session::set_total(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  all_total_ = bytes;
}

void Session::report(PullStage stage, const std::string& item, uint64_t done, uint64_t total,
                     const std::string& note) {
  if (!options_.progress) return;
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  const bool moving = stage == PullStage::kDownload || stage == PullStage::kVerify;
  if (moving && done > 0 && done < total && now - told_ < kTellEvery) return;
  told_ = now;
  const uint64_t all_done = before_ + (stage == PullStage::kDownload ? done : 0);
  options_.progress({stage, item, done, total, all_done, all_total_, note});
}

void Session::finish_item(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  before_ += bytes;
}

Result<void> RetryPolicy::wait(std::chrono::milliseconds pause) {
  if (session_.cancel().wait_for(pause)) return cancelled();
  return {};
}

Result<void> RetryPolicy::at_once(const Error& error) {
  if (++failures_ >= session_.options().attempts_max)
    return fail(error.code,
                failures_ > 1 ? fmt::format("{}; given up after {} tries", error.message, failures_)
                              : error.message,
                error.param);
  return wait(std::chrono::milliseconds(0));
}

Result<void> RetryPolicy::after(const Error& error) {
  RETURN_IF_ERROR(at_once(error));
  return wait(std::min(kLongestPause, kFirstPause * (1 << std::min(failures_ - 1, 10))));
}

Result<void> RetryPolicy::after(const HttpResponse& answer, const Error& error) {
  const std::optional<std::chrono::seconds> asked = pause_asked(answer);
  if (!asked || (answer.status != 429 && answer.status != 503)) return after(error);
  RETURN_IF_ERROR(at_once(error));
  if (*asked > session_.options().pause_max)
    return fail(error.code, fmt::format("{}; it asks to wait {} s, which is longer than this waits",
                                        error.message, asked->count()));
  session_.report(PullStage::kWait, item_, 0, 0,
                  fmt::format("the server asks to wait {} s", asked->count()));
  return wait(*asked);
}

bool is_transient(int status) {
  return status == 408 || status == 425 || status == 429 || status == 500 ||
         (status >= 502 && status <= 504) || (status >= 520 && status <= 524);
}

bool is_transient(const Error& error) {
  return error.code == Code::kTimeout || error.code == Code::kUnavailable;
}

Result<HttpResponse> ask(Session& session, const HttpRequest& request) {
  HttpClient client(session.http());
  RetryPolicy retries(session, {});
  while (true) {
    Result<HttpResponse> answer = client.follow(request);
    // A host that cannot be reached at all is told at once: the name or the network is wrong.
    if (!answer.ok()) {
      if (answer.error().code != Code::kTimeout) return answer.error();
      RETURN_IF_ERROR(retries.after(answer.error()));
    } else if (is_transient(answer->status)) {
      const Code code = answer->status == 429 ? Code::kOverloaded : Code::kUnavailable;
      RETURN_IF_ERROR(
          retries.after(*answer, fail(code, fmt::format("[hub] {}", status_text(*answer)))));
    } else {
      return answer;
    }
  }
}

std::string status_text(const HttpResponse& answer) {
  constexpr size_t kShownMax = 200;
  const std::string_view words = answer.header("x-error-message");
  std::string text = fmt::format("the server answers {}", answer.status);
  if (words.empty()) return text;
  text += ": ";
  for (const char c : words.substr(0, kShownMax))
    text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  return text;
}

}  // namespace pippin::hub
