#include "service/constraint.h"

namespace pippin::service {

Result<std::shared_ptr<const ConstraintPlan>> plan_constraint(const Model& /*model*/,
                                                              const ConstraintSpec& spec) {
  const bool calls = !spec.tools.empty() && spec.choice.mode == ToolChoice::Mode::kRequired;
  if (spec.format.index() == 0 && !calls) return std::shared_ptr<const ConstraintPlan>();
  return fail(Code::kUnsupported, "constrained answers are not supported yet",
              calls ? "tool_choice" : "response_format");
}

}  // namespace pippin::service
