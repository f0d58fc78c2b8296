// template_context: a conversation as a chat template is given it, adapted to what the template
// can write. Thread: any.
#pragma once

#include <string>

#include "service/chat/request.h"
#include "service/models/model.h"

namespace pippin::service {

/// How far a conversation is bent to a template.
enum class Adaptation {
  /// What the template has no word for (tools, calls, tool results, thinking, system messages) is
  /// written into the texts; all else stays as it is.
  kPlain,
  /// For a template that refuses that: later system messages become the user's, messages of one
  /// role are joined, arguments that are no JSON object are wrapped in one.
  kStrict,
};

/// Returns the JSON that the model's chat template is rendered with, as transformers passes it.
/// Requires: the model has one.
std::string template_context(const Model& model, const Conversation& conversation,
                             Adaptation adaptation = Adaptation::kPlain);

}  // namespace pippin::service
