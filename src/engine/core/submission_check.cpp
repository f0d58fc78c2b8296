#include "engine/core/submission_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "engine/core/positions.h"

namespace pippin::engine {
namespace {

Error wrong(std::string message, std::string param) {
  return fail(Code::kInvalidArgument, "[engine] " + std::move(message), std::move(param));
}

Error unsupported(std::string message, std::string param) {
  return fail(Code::kUnsupported, "[engine] " + std::move(message), std::move(param));
}

Result<void> check_media(const SchedulerOptions& options, const Submission& submission) {
  int end = 0;
  for (const MediaSpan& media : submission.media) {
    if (media.begin < end || media.count <= 0 || media.hash.empty() ||
        media.count > static_cast<int>(submission.tokens.size()) - media.begin)
      return wrong("expected spans of media in order, within the prompt and with a hash", "media");
    end = media.begin + media.count;
    if (media.both_ways && media.count > options.step_tokens_max) {
      return wrong(fmt::format("a step holds {} tokens; media whose tokens see each other has {}",
                               options.step_tokens_max, media.count),
                   "media");
    }
  }
  const size_t positions = submission.positions.size();
  if (submission.position_components < 1 ||
      (positions != 0 &&
       positions != submission.tokens.size() * static_cast<size_t>(submission.position_components)))
    return wrong("expected positions for each token of the prompt", "positions");
  if (std::ranges::any_of(submission.positions, [](int32_t position) {
        return position < 0 || position >= kPositionsEnd;
      }))
    return wrong(fmt::format("expected positions from 0 to {}", kPositionsEnd - 1), "positions");
  if (submission.encoded.has_value() != (options.kv.group(KvKind::kCross) != nullptr))
    return wrong(submission.encoded ? "this model has no encoder" : "expected an encoder's input",
                 "input");
  return {};
}

/// Checks what is to come out: tokens, or an embedding.
Result<void> check_output(const SchedulerOptions& options, const Submission& submission) {
  if (submission.pooling == Pooling::kNone) {
    if (submission.stop.max_tokens <= 0) {
      return wrong(
          fmt::format("expected max_tokens of at least 1, got {}", submission.stop.max_tokens),
          "max_tokens");
    }
    if (options.kv.groups.empty()) return wrong("this model gives embeddings alone", "prompt");
    return {};
  }
  if (submission.stop.max_tokens != 0 || submission.constraint != nullptr)
    return wrong("an embedding comes without tokens: expected max_tokens of 0", "max_tokens");
  if (submission.sampling.prompt_logprobs >= 0)
    return wrong("an embedding comes without log probabilities", "prompt_logprobs");
  if (options.kv.groups.empty() &&
      static_cast<int>(submission.tokens.size()) > options.step_tokens_max) {
    return fail(Code::kContextLength,
                fmt::format("[engine] this model computes a text at once, {} tokens at most; this "
                            "one has {}",
                            options.step_tokens_max, submission.tokens.size()),
                "prompt");
  }
  return {};
}

/// Says whether a prompt leaves no room for what is to come of it.
bool fills(const Submission& submission, int64_t room) {
  const auto prompt = static_cast<int64_t>(submission.tokens.size());
  return submission.pooling == Pooling::kNone ? prompt >= room : prompt > room;
}

}  // namespace

Result<void> check_inputs(const ModelInputs& inputs, const Submission& submission) {
  if (!submission.positions.empty() && inputs.position_components == 0)
    return unsupported("this model takes no stated positions", "positions");
  const int components = submission.position_components;
  if (!submission.positions.empty() && components != 1 && components != inputs.position_components)
    return unsupported(fmt::format("this model takes positions of 1 or {} components, got {}",
                                   inputs.position_components, components),
                       "positions");
  for (const MediaSpan& media : submission.media) {
    if (inputs.embedding_width == 0)
      return unsupported("this model takes text alone, no media in it", "media");
    const size_t values = media.embeddings == nullptr ? 0 : media.embeddings->size();
    if (values != 0 &&
        values != static_cast<size_t>(media.count) * static_cast<size_t>(inputs.embedding_width))
      return unsupported(fmt::format("expected {} embeddings of width {}, got {} values",
                                     media.count, inputs.embedding_width, values),
                         "media");
    if (media.both_ways && !inputs.both_ways)
      return unsupported("in this model no token sees those behind it", "media");
  }
  if (submission.encoded && !inputs.encoded)
    return unsupported("this model has no encoder", "input");
  if (submission.pooling != Pooling::kNone && !inputs.pooling)
    return unsupported("this model gives no embeddings", "pooling");
  return {};
}

Result<void> check_submission(const SchedulerOptions& options, const Submission& submission) {
  if (submission.tokens.empty()) {
    return fail(Code::kInvalidArgument,
                "[engine] expected a prompt of at least one token, got none", "prompt");
  }
  RETURN_IF_ERROR(check_inputs(options.inputs, submission));
  RETURN_IF_ERROR(check_output(options, submission));
  RETURN_IF_ERROR(check_media(options, submission));
  const size_t prompt = submission.tokens.size();
  if (fills(submission, options.context_tokens_max)) {
    return fail(Code::kContextLength,
                fmt::format("[engine] the context holds {} tokens, prompt and answer together; "
                            "the prompt alone has {}",
                            options.context_tokens_max, prompt),
                "prompt");
  }
  if (fills(submission, options.positions_max())) {
    return fail(Code::kContextLength,
                fmt::format("[engine] the memory for keys and values holds {} tokens, prompt and "
                            "answer together; the prompt alone has {}",
                            options.positions_max(), prompt),
                "prompt");
  }
  return {};
}

}  // namespace pippin::engine
