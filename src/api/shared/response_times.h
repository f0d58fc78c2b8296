// ResponseTimes: how long the parts of an answer took, for APIs that tell it. Owner: a writer.
// Thread: one at a time.
#pragma once

#include <optional>

#include "base/clock.h"

namespace pippin::api {

/// When a request came, and when its model was there to answer it.
struct RequestTimes {
  TimePoint began{}, loaded{};

  static RequestTimes begin() {
    const TimePoint now = SystemClock().now();
    return {now, now};
  }
  void mark_loaded() { loaded = SystemClock().now(); }
};

class ResponseTimes {
 public:
  explicit ResponseTimes(const RequestTimes& request) : request_(request) {}

  /// Notes that something of the answer came; the first time ends the prompt's.
  void note() {
    if (!first_) first_ = SystemClock().now();
  }

  struct Spans {
    Duration load{}, prompt{}, answer{}, total{};
  };
  /// Returns the spans up to now. The prompt's holds the time in the queue.
  Spans spans() const {
    const TimePoint now = SystemClock().now();
    const TimePoint first = first_.value_or(now);
    return {request_.loaded - request_.began, first - request_.loaded, now - first,
            now - request_.began};
  }

 private:
  const RequestTimes request_;
  std::optional<TimePoint> first_;
};

}  // namespace pippin::api
