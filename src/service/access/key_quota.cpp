#include "service/access/key_quota.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace pippin::service {
namespace {

constexpr int64_t kDay = 86'400;

Error limited(std::string message, int64_t retry_after_s) {
  Error error = fail(Code::kRateLimited, std::move(message));
  error.retry_after_s = static_cast<int>(std::max<int64_t>(1, retry_after_s));
  return error;
}

}  // namespace

void MinuteWindow::forget(int64_t second) {
  const int64_t passed = std::min(second - last_, kSeconds);
  for (int64_t i = 1; i <= passed; ++i)
    sum_ -= std::exchange(counts_[static_cast<size_t>((last_ + i) % kSeconds)], 0);
  last_ = std::max(last_, second);
}

void MinuteWindow::add(int64_t second, int64_t count) {
  forget(second);
  counts_[static_cast<size_t>(last_ % kSeconds)] += count;
  sum_ += count;
}

int64_t MinuteWindow::sum(int64_t second) {
  forget(second);
  return sum_;
}

int MinuteWindow::seconds_until(int64_t second, int64_t most) {
  int64_t left = sum(second);
  int seconds = 0;
  // The next place to be used again holds the oldest second.
  for (; left > most && seconds < kSeconds; ++seconds)
    left -= counts_[static_cast<size_t>((last_ + 1 + seconds) % kSeconds)];
  return seconds;
}

/// One request of a key; ends with the last handle.
class KeyQuota::Context final : public RequestContext {
 public:
  /// `counts`: as one of the requests that run.
  Context(std::shared_ptr<KeyQuota> quota, bool counts)
      : quota_(std::move(quota)),
        id_(quota_->key_.id),
        permissions_(quota_->key_.permissions),
        left_(!counts) {}
  ~Context() override { leave(); }

  void leave() override {
    const std::lock_guard lock(quota_->mutex_);
    if (!std::exchange(left_, true)) --quota_->running_;
  }

  const std::string& key_id() const override { return id_; }
  const Permissions& permissions() const override { return permissions_; }

  Result<void> take_prompt(int64_t tokens) override {
    KeyQuota& quota = *quota_;
    const std::lock_guard lock(quota.mutex_);
    const int64_t now = quota.now_();
    quota.roll_day(now);
    const KeyLimits& limits = quota.key_.limits;
    if (limits.tokens_per_day > 0 && quota.key_.tokens_today + tokens > limits.tokens_per_day) {
      return limited(
          fmt::format("This key may use {} tokens a day and has used {}; the prompt has {}.",
                      limits.tokens_per_day, quota.key_.tokens_today, tokens),
          kDay - now % kDay);
    }
    const int64_t most = limits.tokens_per_minute - tokens;
    if (limits.tokens_per_minute > 0 && quota.tokens_.sum(now) > most) {
      return limited(
          fmt::format("This key may use {} tokens a minute and has used {}; the prompt has {}.",
                      limits.tokens_per_minute, quota.tokens_.sum(now), tokens),
          quota.tokens_.seconds_until(now, most));
    }
    quota.count(now, tokens);
    taken_.prompt_tokens += tokens;
    return {};
  }

  bool take_token() override {
    KeyQuota& quota = *quota_;
    const std::lock_guard lock(quota.mutex_);
    const int64_t now = quota.now_();
    quota.roll_day(now);
    const int64_t most = quota.key_.limits.tokens_per_day;
    if (most > 0 && quota.key_.tokens_today >= most) return false;
    quota.count(now, 1);
    ++taken_.answer_tokens;
    return true;
  }

  Taken taken() const override {
    const std::lock_guard lock(quota_->mutex_);
    return taken_;
  }

  std::vector<std::pair<std::string, std::string>> headers() const override {
    KeyQuota& quota = *quota_;
    const std::lock_guard lock(quota.mutex_);
    const int64_t now = quota.now_();
    std::vector<std::pair<std::string, std::string>> all;
    const auto tell = [&](const char* what, int64_t limit, MinuteWindow& window) {
      if (limit == 0) return;
      const int64_t left = std::max<int64_t>(0, limit - window.sum(now));
      all.emplace_back(fmt::format("x-ratelimit-limit-{}", what), std::to_string(limit));
      all.emplace_back(fmt::format("x-ratelimit-remaining-{}", what), std::to_string(left));
      all.emplace_back(fmt::format("x-ratelimit-reset-{}", what),
                       fmt::format("{}s", window.seconds_until(now, 0)));
    };
    tell("requests", quota.key_.limits.requests_per_minute, quota.requests_);
    tell("tokens", quota.key_.limits.tokens_per_minute, quota.tokens_);
    return all;
  }

 private:
  const std::shared_ptr<KeyQuota> quota_;
  const std::string id_;
  const Permissions permissions_;
  Taken taken_;
  bool left_;
};

Result<std::shared_ptr<RequestContext>> KeyQuota::enter() {
  {
    const std::lock_guard lock(mutex_);
    const int64_t now = now_();
    const KeyLimits& limits = key_.limits;
    if (limits.concurrent > 0 && running_ >= limits.concurrent) {
      return limited(
          fmt::format("This key may have {} requests at the same time.", limits.concurrent), 1);
    }
    const int64_t most = limits.requests_per_minute - 1;
    if (limits.requests_per_minute > 0 && requests_.sum(now) > most) {
      return limited(fmt::format("This key may ask {} times a minute.", limits.requests_per_minute),
                     requests_.seconds_until(now, most));
    }
    requests_.add(now, 1);
    ++running_;
  }
  return std::shared_ptr<RequestContext>(std::make_shared<Context>(shared_from_this(), true));
}

std::shared_ptr<RequestContext> KeyQuota::resume() {
  return std::make_shared<Context>(shared_from_this(), false);
}

void KeyQuota::update(const Key& key) {
  const std::lock_guard lock(mutex_);
  key_.name = key.name;
  key_.limits = key.limits;
  key_.permissions = key.permissions;
  const int64_t today = day_of(now_());
  if (day_ != today) return;
  // What others have saved meanwhile counts, too.
  key_.tokens_today = std::max(key_.tokens_today, key.tokens_today + unsaved_);
}

void KeyQuota::roll_day(int64_t now) {
  const int64_t today = day_of(now);
  if (today == day_) return;
  day_ = today;
  key_.tokens_today = unsaved_ = 0;  // what is unsaved of a day that has ended is forgiven
}

void KeyQuota::count(int64_t now, int64_t tokens) {
  key_.tokens_today += tokens;
  unsaved_ += tokens;
  tokens_.add(now, tokens);
}

KeyQuota::Unsaved KeyQuota::take_unsaved() {
  const std::lock_guard lock(mutex_);
  return {day_, std::exchange(unsaved_, 0)};
}

void KeyQuota::saved(int64_t day, int64_t tokens_in_file) {
  const std::lock_guard lock(mutex_);
  if (day == day_) key_.tokens_today = std::max(key_.tokens_today, tokens_in_file + unsaved_);
}

void KeyQuota::not_saved(const Unsaved& unsaved) {
  const std::lock_guard lock(mutex_);
  if (unsaved.day == day_) unsaved_ += unsaved.tokens;
}

}  // namespace pippin::service
