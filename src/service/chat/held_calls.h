// HeldCalls: holds calls to their schemas that a model writes without its dialect's marks, such as
// JSON in a fenced block, where it may call or not. The answer is free until the parser that will
// read it sees such a call's arguments come; they are held to the tool's schema until they end.
// Thread: any; a constraint one at a time.
#pragma once

#include <memory>
#include <vector>

#include "parse/answer_parser.h"
#include "service/chat/constraint.h"
#include "service/chat/request.h"
#include "text/grammar.h"

namespace pippin::service {

/// Returns a plan that holds what `plan` holds, and such calls of those `tools` that are strict.
/// `reading`: as the answer will be read, with the same tools offered.
std::shared_ptr<const ConstraintPlan> hold_unmarked_calls(
    std::shared_ptr<const ConstraintPlan> plan,
    std::shared_ptr<const text::GrammarVocabulary> vocabulary, std::vector<Tool> tools,
    parse::AnswerOptions reading);

}  // namespace pippin::service
