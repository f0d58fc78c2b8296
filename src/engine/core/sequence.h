// Sequence: one submission on its way: its tokens, how far they are computed, and the blocks that
// hold the result.
// Owner: the scheduler. Thread: the device thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "engine/core/block_hash.h"
#include "engine/core/kv_table.h"
#include "engine/core/prefix_miss.h"
#include "engine/core/types.h"

namespace pippin::engine {

/// kWaiting holds no blocks. kActive has a row in each step that its turn allows. kPaused holds
/// blocks, but its reader is behind.
enum class Phase : uint8_t { kWaiting, kActive, kPaused };

/// Plain data; the scheduler keeps it consistent.
struct Sequence {
  SequenceId id;
  Submission submission;
  uint64_t arrival = 0;  // order of submission, kept through preemption
  int max_tokens = 0;    // the submission's, or what the context allows
  Phase phase = Phase::kWaiting;
  bool reader_behind = false;  // its event queue is full
  bool known_to_runner = false;

  std::vector<Token> tokens;  // prompt, then what was generated
  int computed = 0;           // positions whose keys and values lie in `kv`
  int recorded = 0;           // of those, positions the prefix caches know of
  std::vector<KvTable> kv;    // one for each KV group
  std::vector<BlockHash>
      hashes;  // root, then one for each full block of `tokens`; empty without a prefix cache
  /// `tokens` with -1 for those of media and those whose positions jump; empty without any.
  std::vector<Token> marked;
  int32_t position_behind = 0;  // of the first token behind the prompt, if positions are stated
  bool first_row = true;        // no row yet since (re)admission
  uint64_t last_turn = 0;       // when it last had an exclusive step, or was admitted
  int jump_forward = 0;         // known tokens before the last that a constraint has chosen
  int planned = 0;              // tokens of its row in the step under way
  int planned_async = 0;        // tokens of its row in the step enqueued behind that one
  std::vector<Token> drafts;    // guesses at the end of the planned row

  bool admitted_before = false;
  int cached_tokens = 0;                // of the prompt, found at the first admission
  int first_difference = 0;             // where its prefix match ended then
  PrefixMiss miss = PrefixMiss::kNone;  // why it ended there
  int preemptions = 0;
  bool prompt_logprobs_sent = false;
  std::vector<PromptLogprobsEvent::Entry> prompt_logprobs;

  std::optional<TimePoint> paused_until;  // the timer of a slow reader

  int prompt_tokens() const { return static_cast<int>(submission.tokens.size()); }
  int length() const { return static_cast<int>(tokens.size()); }
  int generated() const { return length() - prompt_tokens(); }
  int remaining() const { return length() - computed; }
  /// The tokens by which blocks are found.
  std::span<const Token> identity() const { return marked.empty() ? tokens : marked; }
  bool wants_prompt_logprobs() const {
    return submission.sampling.prompt_logprobs >= 0 && !prompt_logprobs_sent;
  }
};

/// Orders sequences by whose turn comes first: higher priority, then earlier arrival.
struct ComesFirst {
  bool operator()(const Sequence* a, const Sequence* b) const {
    if (a->submission.priority != b->submission.priority) {
      return a->submission.priority > b->submission.priority;
    }
    return a->arrival < b->arrival;
  }
};

/// What a status page tells of a sequence.
struct SequenceStatus {
  SequenceId id;
  Phase phase = Phase::kWaiting;
  Priority priority = Priority::kNormal;
  int queue_position = 0;  // 1 is the next to be admitted; 0 if it does not wait
  bool admitted_before = false;
  int prompt_tokens = 0;
  int cached_tokens = 0;
  int first_difference = 0;             // position of the first prompt token that was not cached
  PrefixMiss miss = PrefixMiss::kNone;  // why it did not; kNone before the first admission
  int computed_tokens = 0;
  int generated_tokens = 0;
  int max_tokens = 0;
  int blocks = 0;  // of the first KV group
  int preemptions = 0;
  // Set by the engine, which has a clock.
  TimePoint submitted_at{};
  std::optional<TimePoint> first_token_at;
};

}  // namespace pippin::engine
