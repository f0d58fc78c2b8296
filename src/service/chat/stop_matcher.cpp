#include "service/chat/stop_matcher.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace pippin::service {

StopMatcher::Pattern::Pattern(std::string stop)
    : text(std::move(stop)), fallback(text.size() + 1, 0) {
  for (size_t k = 2; k <= text.size(); ++k) {
    size_t border = fallback[k - 1];
    while (border > 0 && text[border] != text[k - 1]) border = fallback[border];
    fallback[k] = text[border] == text[k - 1] ? border + 1 : 0;
  }
}

// Returns true if `byte` completes the pattern.
bool StopMatcher::Pattern::advance(char byte) {
  while (matched > 0 && text[matched] != byte) matched = fallback[matched];
  if (text[matched] == byte) ++matched;
  return matched == text.size();
}

StopMatcher::StopMatcher(std::vector<std::string> stops) {
  patterns_.reserve(stops.size());
  for (std::string& stop : stops) {
    CHECK(!stop.empty(), "an empty stop string");
    patterns_.emplace_back(std::move(stop));
  }
}

std::string StopMatcher::push(std::string_view piece) {
  if (stopped_) return {};
  held_.append(piece);
  if (patterns_.empty()) return std::exchange(held_, {});
  const size_t before = held_.size() - piece.size();
  for (size_t i = 0; i < piece.size(); ++i) {
    for (Pattern& pattern : patterns_) {
      if (pattern.advance(piece[i]) && pattern.text.size() > met_.size()) met_ = pattern.text;
    }
    if (!met_.empty()) {
      stopped_ = true;
      held_.resize(before + i + 1 - met_.size());
      return std::exchange(held_, {});
    }
  }
  size_t kept = 0;
  for (const Pattern& pattern : patterns_) kept = std::max(kept, pattern.matched);
  std::string released = held_.substr(0, held_.size() - kept);
  held_.erase(0, released.size());
  return released;
}

std::string StopMatcher::flush() { return std::exchange(held_, {}); }

}  // namespace pippin::service
