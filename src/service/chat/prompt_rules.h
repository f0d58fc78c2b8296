// PromptRules: what clients put in front of their prompts and change from call to call, so that
// nothing behind it can be found in the cache again. Each rule moves or strips one such thing. They
// are one table; the model's settings say which are on. Thread: any.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "service/chat/request.h"

namespace pippin::service {

struct PromptRule {
  std::string_view name;
  std::string_view meaning;  // a sentence, without a full stop
  /// Returns whether it has changed the conversation.
  bool (*apply)(Conversation& conversation);
};

/// Returns the table, in the order of application.
std::span<const PromptRule> prompt_rules();

/// Those of the rules that are on.
class PromptRules {
 public:
  PromptRules() = default;  // none

  /// Returns the rules of these names; "all" and "none" are names, too.
  /// Errors: kInvalidArgument, naming the rules there are.
  static Result<PromptRules> of(std::span<const std::string> names);

  /// Applies them. Returns the names of those that have changed something.
  std::vector<std::string_view> apply(Conversation& conversation) const;

 private:
  uint32_t on_ = 0;  // bit i: row i of the table
};

}  // namespace pippin::service
