#include "service/chat/held_calls.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "base/check.h"
#include "parse/registry.h"
#include "service/chat/constraint_calls.h"
#include "service/chat/response_text.h"

namespace pippin::service {
namespace {

using parse::ArgumentForm;

/// What the constraints of one request share.
class HeldCallsPlan final : public ConstraintPlan,
                            public std::enable_shared_from_this<HeldCallsPlan> {
 public:
  HeldCallsPlan(std::shared_ptr<const ConstraintPlan> plan,
                std::shared_ptr<const text::GrammarVocabulary> vocabulary, std::vector<Tool> tools,
                parse::AnswerOptions reading)
      : plan_(std::move(plan)),
        vocabulary_(std::move(vocabulary)),
        tools_(std::move(tools)),
        reading_(std::move(reading)) {}

  std::shared_ptr<engine::Constraint> start() const override;

  const parse::AnswerOptions& reading() const { return reading_; }
  const std::shared_ptr<const text::GrammarVocabulary>& vocabulary() const { return vocabulary_; }
  const Tool* strict_tool(const std::string& name) const {
    const auto found = std::ranges::find_if(
        tools_, [&](const Tool& tool) { return tool.strict && tool.name == name; });
    return found == tools_.end() ? nullptr : &*found;
  }

  /// Returns a matcher for a tool's arguments. Cost: a millisecond to a second the first time.
  Result<std::unique_ptr<text::Matcher>> start(const Tool& tool, ArgumentForm form) const {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<const text::Grammar>& grammar = grammars_[{&tool, form}];
    if (grammar == nullptr) {
      ASSIGN_OR_RETURN(const std::string source,
                       unmarked_arguments_grammar(vocabulary_->tokenizer(), tool, form));
      ASSIGN_OR_RETURN(grammar,
                       text::Grammar::compile(vocabulary_, text::GrammarSyntax::kLark, source));
    }
    return grammar->start();
  }

 private:
  const std::shared_ptr<const ConstraintPlan> plan_;
  const std::shared_ptr<const text::GrammarVocabulary> vocabulary_;
  const std::vector<Tool> tools_;
  const parse::AnswerOptions reading_;
  mutable std::mutex mutex_;
  mutable std::map<std::pair<const Tool*, ArgumentForm>, std::shared_ptr<const text::Grammar>>
      grammars_;
};

class HeldCallsConstraint final : public engine::Constraint {
 public:
  HeldCallsConstraint(std::shared_ptr<const HeldCallsPlan> plan,
                      std::shared_ptr<engine::Constraint> answer)
      : plan_(std::move(plan)),
        answer_(std::move(answer)),
        text_(plan_->vocabulary()->tokenizer_ptr(), plan_->reading().tools,
              plan_->reading().reasoning),
        parser_(plan_->reading()) {}

  Result<void> accept(std::span<const engine::Token> tokens) override {
    for (const engine::Token token : tokens) RETURN_IF_ERROR(accept(token));
    return {};
  }

  std::vector<engine::Token> jump_forward() override {
    return arguments_ != nullptr || parser_.in_unmarked_head() ? std::vector<engine::Token>()
                                                               : answer_->jump_forward();
  }

  Result<void> fill_mask(std::vector<uint32_t>& mask) override {
    if (arguments_ != nullptr) return arguments_->fill_mask(mask);
    RETURN_IF_ERROR(answer_->fill_mask(mask));
    if (!parser_.in_unmarked_head()) return {};
    // The arguments are to begin with a token of their own, so that all of them can be held.
    const std::vector<uint32_t>& reaching = plan_->vocabulary()->reaching_past_heads();
    for (size_t i = 0; i < mask.size() && i < reaching.size(); ++i) mask[i] &= ~reaching[i];
    return {};
  }

  bool complete() override { return arguments_ == nullptr && answer_->complete(); }

 private:
  // To the answer's own grammar the arguments are as if they were not there: what looks like a
  // marked call in them is none.
  Result<void> accept(engine::Token token) {
    RETURN_IF_ERROR(arguments_ != nullptr ? arguments_->accept({&token, 1})
                                          : answer_->accept({&token, 1}));
    if (arguments_ != nullptr && arguments_->is_accepting()) arguments_.reset();
    parse::Events events;
    parser_.push(text_.push(token), events);
    if (arguments_ != nullptr) return {};
    const std::optional<parse::ArgumentsAhead> ahead = parser_.arguments_ahead();
    const Tool* const tool = ahead ? plan_->strict_tool(ahead->name) : nullptr;
    if (tool == nullptr) return {};
    ASSIGN_OR_RETURN(arguments_, plan_->start(*tool, ahead->form));
    return {};
  }

  const std::shared_ptr<const HeldCallsPlan> plan_;
  const std::shared_ptr<engine::Constraint> answer_;
  ResponseText text_;
  parse::AnswerParser parser_;
  std::unique_ptr<text::Matcher> arguments_;  // while they are written
};

std::shared_ptr<engine::Constraint> HeldCallsPlan::start() const {
  return std::make_shared<HeldCallsConstraint>(shared_from_this(), plan_->start());
}

}  // namespace

std::shared_ptr<const ConstraintPlan> hold_unmarked_calls(
    std::shared_ptr<const ConstraintPlan> plan,
    std::shared_ptr<const text::GrammarVocabulary> vocabulary, std::vector<Tool> tools,
    parse::AnswerOptions reading) {
  return std::make_shared<HeldCallsPlan>(std::move(plan), std::move(vocabulary), std::move(tools),
                                         std::move(reading));
}

}  // namespace pippin::service
