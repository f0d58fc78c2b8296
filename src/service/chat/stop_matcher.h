// StopMatcher: finds stop strings in text that arrives in pieces, and holds back just what may
// still become one. Owner: one choice of a Generation. Thread: one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pippin::service {

/// The result does not depend on how the text is cut into pieces: the stop string that ends first
/// wins, and of those that end together the longest. Source: Knuth, Morris, Pratt, "Fast pattern
/// matching in strings" (1977), one automaton per stop string.
class StopMatcher {
 public:
  /// Requires: no empty string in `stops`.
  explicit StopMatcher(std::vector<std::string> stops);

  /// Takes the next piece and returns the text that is now final. After a stop it takes nothing
  /// more. Cost: amortised O(piece bytes x stop strings).
  std::string push(std::string_view piece);
  /// Returns what is held back, as the text has ended.
  std::string flush();
  /// Returns whether a stop string was met.
  bool stopped() const { return stopped_; }
  /// The one that was met, or "".
  const std::string& met() const { return met_; }

 private:
  struct Pattern {
    std::string text;
    std::vector<size_t> fallback;  // fallback[k]: the longest proper border of text[0, k)
    size_t matched = 0;            // bytes of `text` that the input's end matches

    explicit Pattern(std::string stop);
    bool advance(char byte);
  };

  std::vector<Pattern> patterns_;
  std::string held_;
  std::string met_;
  bool stopped_ = false;
};

}  // namespace pippin::service
