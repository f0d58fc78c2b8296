// ThinkingBudget: closes an answer's thinking after so many tokens, by forcing the text that ends
// it. Belongs to one sequence, as every Constraint does; around another one, where there is one.
#pragma once

#include <memory>
#include <vector>

#include "engine/core/types.h"
#include "parse/answer_parser.h"
#include "service/models/model.h"
#include "text/tokenizer.h"

namespace pippin::service {

class ThinkingBudget final : public engine::Constraint {
 public:
  /// `inner` may be null. Errors: of the tokenizer; kUnsupported if the dialect has no end.
  static Result<std::shared_ptr<engine::Constraint>> make(
      const Model& model, const parse::ReasoningDialect& dialect, bool starts_inside,
      int tokens_max, std::shared_ptr<engine::Constraint> inner);

  Result<void> accept(std::span<const engine::Token> tokens) override;
  std::vector<engine::Token> jump_forward() override;
  Result<void> fill_mask(std::vector<uint32_t>& mask) override;
  bool complete() override;

 private:
  ThinkingBudget(std::shared_ptr<const text::Tokenizer> tokenizer,
                 const parse::ReasoningDialect& dialect, bool starts_inside, int tokens_max,
                 std::vector<engine::Token> end, std::shared_ptr<engine::Constraint> inner);
  void take(engine::Token token);
  bool closing() const { return at_ < end_.size(); }

  const std::shared_ptr<const text::Tokenizer> tokenizer_;
  const parse::ReasoningDialect& dialect_;
  const int tokens_max_;
  const std::vector<engine::Token> end_;
  const std::shared_ptr<engine::Constraint> inner_;
  text::StreamDecoder decoder_;
  parse::AnswerParser parser_;
  parse::Events events_;
  int tokens_ = 0;  // of thinking
  size_t at_;       // of end_: those before are written; its size: not closing
};

}  // namespace pippin::service
