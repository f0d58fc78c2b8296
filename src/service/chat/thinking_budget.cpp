#include "service/chat/thinking_budget.h"

#include <algorithm>
#include <utility>

#include "parse/registry.h"

namespace pippin::service {

using engine::Token;

Result<std::shared_ptr<engine::Constraint>> ThinkingBudget::make(
    const Model& model, const parse::ReasoningDialect& dialect, bool starts_inside, int tokens_max,
    std::shared_ptr<engine::Constraint> inner) {
  ASSIGN_OR_RETURN(std::vector<Token> end, model.tokenizer->encode(parse::end_of_thinking(dialect),
                                                                   false, text::Specials::kParse));
  if (end.empty()) return fail(Code::kUnsupported, "the model's thinking cannot be limited");
  return std::shared_ptr<engine::Constraint>(new ThinkingBudget(
      model.tokenizer, dialect, starts_inside, tokens_max, std::move(end), std::move(inner)));
}

ThinkingBudget::ThinkingBudget(std::shared_ptr<const text::Tokenizer> tokenizer,
                               const parse::ReasoningDialect& dialect, bool starts_inside,
                               int tokens_max, std::vector<Token> end,
                               std::shared_ptr<engine::Constraint> inner)
    : tokenizer_(std::move(tokenizer)),
      dialect_(dialect),
      tokens_max_(tokens_max),
      end_(std::move(end)),
      inner_(std::move(inner)),
      decoder_(tokenizer_, true),
      parser_({.reasoning = &dialect, .starts_inside = starts_inside}),
      at_(starts_inside && tokens_max == 0 ? 0 : end_.size()) {}

Result<void> ThinkingBudget::accept(std::span<const Token> tokens) {
  for (const Token token : tokens) take(token);
  return inner_ ? inner_->accept(tokens) : Result<void>();
}

void ThinkingBudget::take(Token token) {
  const bool mark = !tokenizer_->is_control(token) ||
                    parse::looks_for(nullptr, &dialect_, tokenizer_->token_bytes(token, true));
  events_.clear();
  parser_.push(mark ? decoder_.push(token) : std::string(), events_);
  if (closing()) {
    ++at_;
  } else if (parser_.thinking() && ++tokens_ >= tokens_max_) {
    at_ = 0;
  }
}

std::vector<Token> ThinkingBudget::jump_forward() {
  if (closing()) return {end_.begin() + static_cast<std::ptrdiff_t>(at_), end_.end()};
  return inner_ ? inner_->jump_forward() : std::vector<Token>();
}

Result<void> ThinkingBudget::fill_mask(std::vector<uint32_t>& mask) {
  if (!closing() && inner_) return inner_->fill_mask(mask);
  const auto words = (static_cast<size_t>(tokenizer_->vocab_size()) + 31) / 32;
  mask.assign(words, closing() ? 0u : ~0u);
  if (closing()) {
    const auto token = static_cast<uint32_t>(end_[at_]);
    mask[token / 32] |= 1u << (token % 32);
  }
  return {};
}

bool ThinkingBudget::complete() { return !closing() && inner_ && inner_->complete(); }

}  // namespace pippin::service
