#include "engine/core/positions.h"

#include <fmt/format.h>

#include <algorithm>

namespace pippin::engine {
namespace {

int32_t position_of(const Sequence& sequence, int place, int component) {
  const Submission& submission = sequence.submission;
  if (place >= sequence.prompt_tokens())
    return sequence.position_behind + place - sequence.prompt_tokens();
  return submission
      .positions[static_cast<size_t>(place) * static_cast<size_t>(submission.position_components) +
                 static_cast<size_t>(component)];
}

}  // namespace

int32_t position_behind(const Submission& submission) {
  return *std::max_element(submission.positions.begin(), submission.positions.end()) + 1;
}

void append_positions(const Sequence& sequence, int begin, int end, std::vector<int32_t>& out) {
  for (int place = begin; place < end; ++place)
    for (int c = 0; c < sequence.submission.position_components; ++c)
      out.push_back(position_of(sequence, place, c));
}

bool jumps(const Sequence& sequence, int place) {
  const Submission& submission = sequence.submission;
  if (submission.positions.empty() || place > sequence.prompt_tokens()) return false;
  for (int c = 0; c < submission.position_components; ++c) {
    const int32_t before = place == 0 ? -1 : position_of(sequence, place - 1, c);
    if (position_of(sequence, place, c) != before + 1) return true;
  }
  return false;
}

std::string jumps_salt(const Sequence& sequence, int begin, int end) {
  std::string salt;
  if (sequence.submission.positions.empty()) return salt;
  for (int place = begin; place < end && place <= sequence.prompt_tokens(); ++place) {
    if (!jumps(sequence, place)) continue;
    // Marked tokens are not hashed themselves.
    salt += fmt::format("@{}={}", place - begin, sequence.tokens[static_cast<size_t>(place)]);
    for (int c = 0; c < sequence.submission.position_components; ++c)
      salt += fmt::format(":{}", position_of(sequence, place, c));
    salt += ';';
  }
  return salt;
}

}  // namespace pippin::engine
