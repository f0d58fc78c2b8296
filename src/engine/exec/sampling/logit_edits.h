// LogitEdits: one row's logits while options change single values, with the model's own values kept
// for log probabilities. Ids outside the vocabulary are passed over. Thread: the device thread.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "engine/core/types.h"

namespace pippin::engine::sampling {

class LogitEdits {
 public:
  explicit LogitEdits(std::span<float> logits) : logits_(logits) {}

  std::span<float> logits() const { return logits_; }
  bool has(Token token) const { return token >= 0 && static_cast<size_t>(token) < logits_.size(); }
  float at(Token token) const { return logits_[static_cast<size_t>(token)]; }

  /// Requires: has(token).
  void set(Token token, float value) {
    edits_.emplace_back(token, at(token));
    logits_[static_cast<size_t>(token)] = value;
  }
  /// Undoes all edits after the first `count`.
  void rewind(size_t count) {
    for (; edits_.size() > count; edits_.pop_back())
      logits_[static_cast<size_t>(edits_.back().first)] = edits_.back().second;
  }
  size_t count() const { return edits_.size(); }

  /// Returns the value before any edit. Requires: has(token), and no mask has taken it away.
  float original(Token token) const {
    for (const auto& [edited, value] : edits_)
      if (edited == token) return value;
    return at(token);
  }

 private:
  std::span<float> logits_;
  std::vector<std::pair<Token, float>> edits_;
};

}  // namespace pippin::engine::sampling
