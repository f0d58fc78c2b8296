// Thinking: what a request says of the model's thinking, in whichever API's words, and how that
// reaches the template and the answer. Thread: any.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string_view>

#include "service/chat/request.h"
#include "service/json.h"
#include "service/models/model.h"

namespace pippin::api {

/// What an effort means to a template that knows levels, and to a model that does not: how many
/// tokens of thinking it may spend. -1 = as many as it likes.
struct Effort {
  std::string_view name;
  std::string_view level;  // of the three that templates know; empty: no thinking
  int tokens_max;
};

/// Returns the effort of this name ("none", "minimal", "low", "medium", "high", "xhigh", "max"), or
/// null.
const Effort* find_effort(std::string_view name);

struct Thinking {
  std::optional<bool> enabled;
  const Effort* effort = nullptr;
  std::optional<int> tokens_max;
};

/// Writes the template's variables into `json`, but for those that `kwargs` has, and into the
/// request what no template does. `kwargs` may be null.
void apply_thinking(const Thinking& thinking, const service::Model& model,
                    const boost::json::object* kwargs, service::JsonWriter& json,
                    service::Request& request);

}  // namespace pippin::api
