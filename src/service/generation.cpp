#include "service/generation.h"

#include <algorithm>
#include <random>
#include <utility>

#include "service/choice.h"
#include "service/prompt.h"

namespace pippin::service {
namespace {

uint64_t random_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32) ^ device();
}

Error too_long(const Model& model, const Request& request, size_t prompt_tokens) {
  const bool chat = std::holds_alternative<Conversation>(request.prompts.front());
  return fail(Code::kContextLength,
              "This model's maximum context length is " + std::to_string(model.context_tokens_max) +
                  " tokens, prompt and answer together. However, your " +
                  (chat ? "messages" : "prompt") + " resulted in " + std::to_string(prompt_tokens) +
                  " tokens. Please shorten it.",
              chat ? "messages" : "prompt");
}

std::vector<Token> stop_tokens_of(const Model& model, const Request& request) {
  std::vector<Token> tokens;
  if (!request.ignore_eos) tokens = model.stop_tokens;
  tokens.insert(tokens.end(), request.stop_tokens.begin(), request.stop_tokens.end());
  std::ranges::sort(tokens);
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

}  // namespace

Generation::Generation(ModelLease model, Request request)
    : model_(std::move(model)),
      request_(std::move(request)),
      terms_{request_, model_->tokenizer, stop_tokens_of(*model_, request_)} {}

Generation::~Generation() {
  if (!finished()) cancel();
}

Result<std::unique_ptr<Generation>> Generation::start(ModelLease model, Request request) {
  CHECK(!request.prompts.empty() && request.n >= 1, "a request that asks nothing");
  std::unique_ptr<Generation> generation(new Generation(std::move(model), std::move(request)));
  RETURN_IF_ERROR(generation->submit());
  return generation;
}

// Reads every prompt before the first sequence starts, so that a wrong one costs no work.
Result<void> Generation::submit() {
  const Model& model = *model_;
  for (const Prompt& prompt : request_.prompts) {
    ASSIGN_OR_RETURN(std::vector<Token> tokens, prompt_tokens(model, prompt));
    if (tokens.empty()) return fail(Code::kInvalidArgument, "the prompt has no tokens", "prompt");
    if (tokens.size() >= static_cast<size_t>(model.context_tokens_max))
      return too_long(model, request_, tokens.size());
    prompts_.push_back(std::move(tokens));
  }
  const uint64_t seed = request_.seed ? *request_.seed : random_seed();
  for (size_t i = 0; i < request_.prompts.size() * static_cast<size_t>(request_.n); ++i) {
    const std::vector<Token>& tokens = prompts_[i / static_cast<size_t>(request_.n)];
    const int left = model.context_tokens_max - static_cast<int>(tokens.size());
    engine::Submission submission;
    submission.tokens = tokens;
    submission.sampling = request_.sampling;
    submission.sampling.seed = seed + i;  // each choice draws its own numbers
    submission.stop.stop_tokens = terms_.stop_tokens;
    submission.stop.max_tokens = std::clamp(request_.max_tokens.value_or(left), 1, left);
    submission.stop.min_tokens = std::min(request_.min_tokens, submission.stop.max_tokens);
    submission.priority = request_.priority;
    submission.deadline = request_.deadline;
    submission.cache_salt = request_.cache_salt;
    ASSIGN_OR_RETURN(std::shared_ptr<engine::EventStream> stream,
                     model.engine->submit(std::move(submission)));
    std::vector<Token> scored =
        request_.sampling.prompt_logprobs >= 0 ? tokens : std::vector<Token>{};
    choices_.push_back(std::make_unique<Choice>(static_cast<int>(i), terms_, std::move(scored),
                                                std::move(stream)));
    ++unfinished_;
  }
  return {};
}

void Generation::set_notify(const std::function<void()>& notify) {
  for (const std::unique_ptr<Choice>& choice : choices_) choice->set_notify(notify);
}

void Generation::poll(std::vector<Delta>& out) {
  for (const std::unique_ptr<Choice>& choice : choices_) {
    if (choice->finished()) continue;
    choice->poll(out);
    if (choice->finished()) --unfinished_;
  }
}

void Generation::cancel(FinishReason reason) {
  for (const std::unique_ptr<Choice>& choice : choices_) choice->cancel(reason);
}

std::string Generation::prompt_text(size_t i) const {
  if (const auto* text = std::get_if<TextPrompt>(&request_.prompts[i])) return text->text;
  text::StreamDecoder decoder(model_->tokenizer, true);
  std::string text;
  for (const Token token : prompts_[i]) text += decoder.push(token);
  return text + decoder.flush();
}

Usage Generation::usage() const {
  Usage usage;
  for (const std::vector<Token>& prompt : prompts_)
    usage.prompt_tokens += static_cast<int>(prompt.size());
  for (size_t i = 0; i < choices_.size(); ++i) {
    usage.completion_tokens += choices_[i]->completion_tokens();
    // A prompt's later choices find what its first one has just stored: that is not the caller's
    // saving.
    if (i % static_cast<size_t>(request_.n) == 0)
      usage.cached_tokens += choices_[i]->cached_tokens();
  }
  return usage;
}

}  // namespace pippin::service
