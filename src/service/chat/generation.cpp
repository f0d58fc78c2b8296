#include "service/chat/generation.h"

#include <algorithm>
#include <random>
#include <utility>

#include "parse/registry.h"
#include "service/chat/choice.h"
#include "service/chat/prompt.h"
#include "service/chat/prompt_parts.h"
#include "service/chat/thinking_budget.h"

namespace pippin::service {
namespace {

uint64_t random_seed() {
  std::random_device device;
  return (uint64_t{device()} << 32) ^ device();
}

// How the answers to a conversation are read. `prompt` is its text.
ResponseTerms response_terms(const Model& model, const Request& request,
                             const Conversation& conversation, std::string_view prompt) {
  ResponseTerms terms;
  if (model.reasoning_dialect != nullptr) {
    (request.reading.reasoning ? terms.reasoning : terms.shown_reasoning) = model.reasoning_dialect;
    terms.starts_inside = parse::starts_inside(*model.reasoning_dialect, prompt);
  }
  const ToolChoice& choice = request.tool_choice;
  const bool calls = request.reading.calls && choice.mode != ToolChoice::Mode::kNone &&
                     !conversation.tools.empty();
  if (!calls || model.tool_dialect == nullptr) return terms;
  terms.tools = model.tool_dialect;
  terms.generation_prefix = parse::generation_prefix(*terms.tools, prompt);
  terms.one_call = !choice.parallel;
  for (const Tool& tool : conversation.tools) {
    const auto& names = choice.names;
    if (names.empty() || std::ranges::find(names, tool.name) != names.end())
      terms.offered.push_back({tool.name, tool.parameters_json, tool.strict});
  }
  return terms;
}

// What holds the answers to a prompt to a format or to calls. Null: nothing.
Result<std::shared_ptr<const ConstraintPlan>> plan_of(const Model& model, const Request& request,
                                                      const Prompt& prompt,
                                                      const ResponseTerms& terms) {
  ConstraintSpec spec;
  spec.format = request.format;
  spec.format_field = request.format_field;
  spec.choice = request.tool_choice;
  if (const auto* conversation = std::get_if<Conversation>(&prompt)) {
    spec.reasoning = terms.reasoning ? terms.reasoning : terms.shown_reasoning;
    spec.thinking_is_content = terms.reasoning == nullptr;
    spec.generation_prefix = terms.generation_prefix;
    spec.dialect = terms.tools;
    if (terms.tools != nullptr) spec.tools = conversation->tools;
    const bool forced = spec.choice.mode == ToolChoice::Mode::kRequired;
    if (forced && terms.tools == nullptr) {
      return fail(Code::kUnsupported,
                  "A call cannot be forced: calls of the model `" + model.id + "` are not read",
                  "tool_choice");
    }
  }
  if (terms.starts_inside) {
    spec.thinking = ConstraintSpec::Thinking::kInside;
  } else if (spec.reasoning != nullptr && request.reading.reasoning_tokens_max != 0) {
    spec.thinking = ConstraintSpec::Thinking::kMayOpen;
  }
  return plan_constraint(model, spec);
}

// A sequence's constraint, by the plan and the budget of thinking.
Result<std::shared_ptr<engine::Constraint>> constraint_of(const Choice::Terms& terms,
                                                          const Model& model) {
  std::shared_ptr<engine::Constraint> constraint;
  if (terms.plan != nullptr) constraint = terms.plan->start();
  const ResponseTerms& answer = terms.answer;
  const auto* reasoning = answer.reasoning ? answer.reasoning : answer.shown_reasoning;
  const std::optional<int> limit = terms.request.reading.reasoning_tokens_max;
  // The template has seen to it that a model which is not to think does not begin to.
  const bool thinks = answer.starts_inside || limit.value_or(0) > 0;
  if (!limit || reasoning == nullptr || !thinks) return constraint;
  return ThinkingBudget::make(model, *reasoning, answer.starts_inside, *limit,
                              std::move(constraint));
}

std::vector<Token> stop_tokens_of(const Model& model, const Request& request,
                                  const ResponseTerms& terms) {
  std::vector<Token> tokens;
  if (!request.ignore_eos) tokens = model.stop_tokens;
  tokens.insert(tokens.end(), request.stop_tokens.begin(), request.stop_tokens.end());
  if (terms.tools != nullptr) {
    for (const std::string_view stop : terms.tools->stops) {
      if (const std::optional<Token> token = model.tokenizer->token_of(stop))
        tokens.push_back(*token);
    }
  }
  std::ranges::sort(tokens);
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

}  // namespace

Generation::Generation(ModelLease model, Request request, std::shared_ptr<RequestContext> caller)
    : model_(std::move(model)), request_(std::move(request)), caller_(std::move(caller)) {}

Generation::~Generation() {
  if (!finished()) cancel();
}

Result<std::unique_ptr<Generation>> Generation::start(ModelLease model, Request request,
                                                      std::shared_ptr<RequestContext> caller) {
  CHECK(!request.prompts.empty() && request.n >= 1, "a request that asks nothing");
  if (caller != nullptr && static_cast<int>(request.priority) > caller->permissions().priority_max)
    return fail(Code::kPermissionDenied,
                "This key may not ask for so high a priority; leave it out.", "priority");
  std::unique_ptr<Generation> generation(
      new Generation(std::move(model), std::move(request), std::move(caller)));
  RETURN_IF_ERROR(generation->read_prompts());
  RETURN_IF_ERROR(generation->charge());
  RETURN_IF_ERROR(generation->submit());
  return generation;
}

// Reads every prompt before the first sequence starts, so that a wrong one costs no work.
Result<void> Generation::read_prompts() {
  const Model& model = *model_;
  terms_.reserve(request_.prompts.size());
  for (const Prompt& prompt : request_.prompts) {
    ASSIGN_OR_RETURN(RenderedPrompt rendered,
                     render_prompt(model, prompt, static_cast<size_t>(model.context_tokens_max)));
    for (const std::string_view rule : rendered.rules) {
      if (std::ranges::find(prompt_rules_, rule) == prompt_rules_.end())
        prompt_rules_.push_back(rule);
    }
    const size_t size = rendered.tokens.size();
    if (size == 0) return fail(Code::kInvalidArgument, "the prompt has no tokens", "prompt");
    ResponseTerms answer;
    if (const auto* conversation = std::get_if<Conversation>(&prompt))
      answer = response_terms(model, request_, *conversation, rendered.text);
    std::vector<Token> stops = stop_tokens_of(model, request_, answer);
    ASSIGN_OR_RETURN(std::shared_ptr<const ConstraintPlan> plan,
                     plan_of(model, request_, prompt, answer));
    terms_.push_back({request_, model.tokenizer, std::move(stops), std::move(rendered.tokens),
                      std::move(answer), std::move(plan)});
  }
  return {};
}

// A prompt counts once, however many choices it has, and as a whole, whatever is cached.
Result<void> Generation::charge() {
  if (caller_ == nullptr) return {};
  int64_t tokens = 0;
  for (const Choice::Terms& terms : terms_) tokens += static_cast<int64_t>(terms.prompt.size());
  return caller_->take_prompt(tokens);
}

Result<void> Generation::submit() {
  const Model& model = *model_;
  const uint64_t seed = request_.seed ? *request_.seed : random_seed();
  for (size_t i = 0; i < request_.prompts.size() * static_cast<size_t>(request_.n); ++i) {
    const Choice::Terms& terms = terms_[i / static_cast<size_t>(request_.n)];
    const std::vector<Token>& tokens = terms.prompt;
    int left = model.context_tokens_max - static_cast<int>(tokens.size());
    if (model.output_tokens_max > 0) left = std::min(left, model.output_tokens_max);
    engine::Submission submission;
    submission.tokens = tokens;
    submission.sampling = request_.sampling;
    submission.sampling.seed = seed + i;  // each choice draws its own numbers
    submission.stop.stop_tokens = terms.stop_tokens;
    submission.stop.max_tokens = std::clamp(request_.max_tokens.value_or(left), 1, left);
    submission.stop.min_tokens = std::min(request_.min_tokens, submission.stop.max_tokens);
    submission.priority = request_.priority;
    submission.deadline = request_.deadline;
    submission.cache_salt = request_.cache_salt;
    // What a key's holder has computed must not show in the times of another's.
    if (caller_ != nullptr) submission.cache_salt = caller_->key_id() + '\n' + request_.cache_salt;
    ASSIGN_OR_RETURN(submission.constraint, constraint_of(terms, model));
    ASSIGN_OR_RETURN(std::shared_ptr<engine::EventStream> stream,
                     model.engine->submit(std::move(submission)));
    sequences_.push_back(stream->id());
    choices_.push_back(
        std::make_unique<Choice>(static_cast<int>(i), terms, std::move(stream), caller_.get()));
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
  for (const Token token : terms_[i].prompt) text += decoder.push(token);
  return text + decoder.flush();
}

// Found anew each time: hardly anybody asks.
std::string Generation::prompt_part(int token) const {
  const auto* asked = std::get_if<Conversation>(&request_.prompts.front());
  if (asked == nullptr) return {};
  Conversation rendered = *asked;
  model_->prompt_rules.apply(rendered);
  return part_of(rendered, terms_.front().prompt, *model_->tokenizer, token);
}

Usage Generation::usage() const {
  Usage usage;
  for (const Choice::Terms& terms : terms_)
    usage.prompt_tokens += static_cast<int>(terms.prompt.size());
  for (size_t i = 0; i < choices_.size(); ++i) {
    usage.completion_tokens += choices_[i]->completion_tokens();
    usage.reasoning_tokens += choices_[i]->reasoning_tokens();
    // A prompt's later choices find what its first one has just stored: that is not the caller's
    // saving.
    if (i % static_cast<size_t>(request_.n) == 0)
      usage.cached_tokens += choices_[i]->cached_tokens();
  }
  return usage;
}

}  // namespace pippin::service
