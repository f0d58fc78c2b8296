// What a simulation draws from its seed: the limits, the KV groups, the requests.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "engine/core/attention_group.h"
#include "engine/core/state_group.h"
#include "engine/sim/simulation.h"

namespace pippin::engine::testing {
namespace {

constexpr Duration kTick = std::chrono::milliseconds(10);
// Worlds come in rounds of 16: two have a full group, a window, states and an encoder, five have
// groups of one kind alone, one has none; the rest draw any mix.
constexpr uint64_t kRound = 16, kMixedEach = 8;
constexpr std::pair<uint64_t, KvKind> kAlone[] = {{1, KvKind::kFull},
                                                  {3, KvKind::kSliding},
                                                  {5, KvKind::kChunked},
                                                  {7, KvKind::kState},
                                                  {9, KvKind::kCross}};
constexpr uint64_t kWithoutGroups = 11;

}  // namespace

SchedulerOptions Simulation::random_options(uint64_t seed, std::mt19937_64& random) {
  const auto draw = [&random](int low, int high) {
    return std::uniform_int_distribution(low, high)(random);
  };
  SchedulerOptions options;
  options.kv.block_positions = 1 << draw(0, 4);
  options.context_tokens_max = draw(24, 400);
  options.rows_max = draw(1, 12);
  options.queue_max = draw(4, 32);
  options.step_tokens_max = draw(1, 4) == 1 ? draw(1, 8) : draw(8, 128);
  options.step_target = draw(0, 1) == 0 ? Duration::zero() : Duration(kTick * draw(1, 3));
  options.slow_reader_max = kTick * draw(20, 60);
  options.prefix_cache = draw(0, 7) != 0;
  options.deterministic = draw(0, 15) == 0;
  options.drafts_max = draw(1, 8);
  options.inputs = ModelInputs::all(draw(1, 3));
  add_groups(options, seed, random);
  return options;
}

/// Draws the groups of a model: attention, windows, chunks, states, an encoder, each alone and in
/// any mix; nothing at all.
void Simulation::add_groups(SchedulerOptions& options, uint64_t seed, std::mt19937_64& random) {
  const auto draw = [&random](int low, int high) {
    return std::uniform_int_distribution(low, high)(random);
  };
  KvPlan& kv = options.kv;
  const int context_blocks = options.context_tokens_max / kv.block_positions + 1;
  const auto add = [&](KvKind kind) {
    KvGroupSpec spec{kind};
    switch (kind) {
      case KvKind::kFull:
        kv.add(spec, draw(std::max(2, context_blocks / 2), 4 * context_blocks));
        break;
      case KvKind::kSliding:
      case KvKind::kChunked: {
        spec.window = draw(0, 3) == 0 ? draw(40, 200) : draw(1, 40);
        const Sight sight{kind, spec.window, kv.block_positions};
        kv.add(spec, sight.blocks_min(options.step_tokens_max) +
                         (draw(0, 2) == 0 ? 0 : draw(0, 2 * context_blocks)));
        break;
      }
      case KvKind::kState:
        spec.checkpoint_positions = kv.block_positions * draw(0, 4);
        kv.add(spec, StateGroup::kBlocksMin + draw(0, 20));
        break;
      case KvKind::kCross:
        kv.add(spec, draw(1, 4));
        break;
    }
  };
  const auto alone = std::ranges::find(kAlone, seed % kRound, &std::pair<uint64_t, KvKind>::first);
  if (alone != std::end(kAlone)) return add(alone->second);
  if (seed % kRound == kWithoutGroups) {  // what keeps nothing computes its prompts at once
    options.step_tokens_max = draw(32, 128);
    return;
  }
  if (seed % kMixedEach == 0) {
    add(KvKind::kFull);
    add(draw(0, 1) == 0 ? KvKind::kSliding : KvKind::kChunked);
    add(KvKind::kState);
    add(KvKind::kCross);
    return;
  }
  const bool state = draw(0, 2) == 0;
  if (!state || draw(0, 3) != 0) add(KvKind::kFull);
  for (const KvKind kind : {KvKind::kSliding, KvKind::kChunked})
    if (draw(0, 2) == 0) add(kind);
  if (state) add(KvKind::kState);
  if (draw(0, 4) == 0) add(KvKind::kCross);
}

std::vector<Token> Simulation::random_prompt() {
  std::vector<Token> prompt;
  if (!chance(0.2)) {
    const auto& history =
        histories_[static_cast<size_t>(between(0, static_cast<int>(histories_.size()) - 1))];
    const int length = static_cast<int>(history.size());
    prompt.assign(history.begin(), history.begin() + (chance(0.5) ? length : between(0, length)));
  }
  for (int n = between(0, chance(0.1) ? options_.context_tokens_max : 12); n > 0; --n) {
    prompt.push_back(between(0, 3));
  }
  return prompt;
}

Submission Simulation::random_submission() {
  Submission submission;
  submission.tokens = random_prompt();
  submission.sampling.seed = static_cast<uint64_t>(between(0, 3));
  if (chance(0.05)) submission.sampling.prompt_logprobs = 0;
  submission.stop.max_tokens = between(chance(0.02) ? 0 : 1, chance(0.1) ? 300 : 40);
  for (int n = between(0, 2); n > 0; --n)
    submission.stop.stop_tokens.push_back(between(0, kFakeVocabulary - 1));
  submission.stop.min_tokens = chance(0.2) ? between(0, 10) : 0;
  submission.stop.ignore_eos = chance(0.1);
  submission.priority = static_cast<Priority>(chance(0.6) ? 0 : between(-1, 1));
  if (chance(0.08)) submission.deadline = clock_.now() + kTick * between(0, 80);
  if (chance(0.1)) submission.cache_salt = "another tenant";
  submission.exclusive = chance(exclusive_);
  if (options_.kv.groups.empty() || chance(0.05)) {
    submission.pooling = Pooling::kMean;
    submission.stop.max_tokens = 0;
    submission.sampling.prompt_logprobs = -1;
  } else if (chance(constrained_)) {
    submission.constraint = std::make_shared<FakeConstraint>();
  }
  if (options_.kv.group(KvKind::kCross) != nullptr) {
    // Where more has to agree, fewer inputs let prefixes be shared all the same.
    const int clips = options_.kv.group(KvKind::kState) != nullptr ? 2 : 6;
    submission.encoded = EncodedInput{fmt::format("clip {}", between(1, clips))};
  }
  if (chance(media_)) add_media(submission);
  if (chance(grids_)) add_positions(submission);
  return submission;
}

/// Puts one or two pictures into a prompt, out of a few, so that prompts share them.
void Simulation::add_media(Submission& submission) {
  int place = 0;
  for (int n = between(1, 2); n > 0; --n) {
    const int begin = place + between(0, 20), count = between(1, 24);
    if (begin + count > static_cast<int>(submission.tokens.size())) return;
    const int picture = between(0, 2);
    submission.media.push_back(
        {begin, count, fmt::format("picture {} of {}", picture, count), picture == 0});
    std::fill_n(submission.tokens.begin() + begin, count, 4);
    place = begin + count;
    ++tally_.media;
  }
}

/// States positions: a grid of rows and columns within the text, one out of a few, so that prompts
/// of equal tokens have equal positions or other ones.
void Simulation::add_positions(Submission& submission) {
  const int length = static_cast<int>(submission.tokens.size());
  const int components = chance(0.3) ? 1 : options_.inputs.position_components;
  const int width = between(1, 3);
  const int begin = 4 * between(0, 4), end = std::min(length, begin + 6);
  submission.position_components = components;
  int32_t next = 0;  // of the text behind what came so far
  for (int place = 0; place < length; ++place) {
    const bool in_grid = place >= begin && place < end;
    const int32_t text = next;
    for (int c = 0; c < components; ++c) {
      const int i = place - begin;
      const int32_t position = in_grid ? std::max(0, begin) + (c == 0   ? 0
                                                               : c == 1 ? i / width
                                                                        : i % width)
                                       : text;
      submission.positions.push_back(position);
      next = std::max(next, position + 1);
    }
  }
  ++tally_.grids;
}

}  // namespace pippin::engine::testing
