// ConstraintPlan: what holds an answer to a format or to a tool's schema: compiled once for a
// request, then walked once for each of its sequences. Thread: any; compiling is work for the
// worker pool.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/core/types.h"
#include "parse/dialect.h"
#include "service/chat/request.h"
#include "service/models/model.h"

namespace pippin::service {

/// What is asked of one answer.
struct ConstraintSpec {
  /// Where the answer stands towards thinking. Thinking is free text; the constraint holds behind
  /// it.
  enum class Thinking : uint8_t {
    kNone,     // the answer begins with content
    kMayOpen,  // the model may think first
    kInside,   // the template has opened the thinking: parse::starts_inside()
  };

  Format format;                                 // of the content
  std::string format_field = "response_format";  // Request's
  /// The tools on offer and which must or may be called; choice.names narrows them. No tools, or
  /// kNone: no calls.
  std::vector<Tool> tools;
  ToolChoice choice;
  const parse::ToolDialect* dialect = nullptr;         // required with tools
  const parse::ReasoningDialect* reasoning = nullptr;  // required unless kNone
  Thinking thinking = Thinking::kNone;
  bool thinking_is_content = false;  // the answer's reader does not tell it apart
  std::string_view
      generation_prefix;  // parse::generation_prefix(): start marker that ends the prompt
};

class ConstraintPlan {
 public:
  virtual ~ConstraintPlan() = default;
  /// Returns a constraint at its start, for one sequence. Cost: well under a millisecond.
  virtual std::shared_ptr<engine::Constraint> start() const = 0;
};

/// Compiles what is asked. Returns null where nothing holds the answer: no format, and calls
/// neither required nor of a strict tool. Tools that are not strict are held to JSON objects, and
/// to what their schema says as far as it can be enforced. Cost: up to a second, by a limit.
/// Errors: kInvalidArgument with the schema's path and keyword, or the compiler's message, `param`
/// naming the field; kTooLarge over the limits; kUnsupported.
Result<std::shared_ptr<const ConstraintPlan>> plan_constraint(const Model& model,
                                                              const ConstraintSpec& spec);

}  // namespace pippin::service
