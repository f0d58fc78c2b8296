// Positions of a sequence's tokens, where the submission states them. A place is a token's index in
// its sequence; its position is what rotary embedding sees, of one component or several (the rows
// and columns of an image). Thread: any.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/sequence.h"

namespace pippin::engine {

/// Positions that a submission states lie below it.
inline constexpr int32_t kPositionsEnd = 1 << 30;

/// Returns the position of the first token behind the prompt: one more than the largest.
/// Requires: the submission states positions.
int32_t position_behind(const Submission& submission);

/// Appends the positions of places [begin, end), all components of each.
/// Requires: the submission states positions.
void append_positions(const Sequence& sequence, int begin, int end, std::vector<int32_t>& out);

/// Says whether the token at `place` is not one position further than the token before it, in every
/// component. Where no token jumps, positions follow from those before: block hashes need to know
/// of jumps alone.
bool jumps(const Sequence& sequence, int place);

/// Returns a text for the block hash: the tokens in places [begin, end) that jump, and their
/// positions.
std::string jumps_salt(const Sequence& sequence, int begin, int end);

}  // namespace pippin::engine
