#include "api/shared/thinking.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "service/chat/template_abilities.h"

namespace pippin::api {
namespace {

constexpr Effort kEfforts[] = {
    {"none", "", 0},      {"minimal", "low", 256}, {"low", "low", 1024}, {"medium", "medium", 8192},
    {"high", "high", -1}, {"xhigh", "high", -1},   {"max", "high", -1},
};

bool takes_effort(const service::Model& model) {
  return model.chat_template != nullptr &&
         service::TemplateAbilities(model.chat_template->source()).effort();
}

}  // namespace

const Effort* find_effort(std::string_view name) {
  const Effort* found = std::ranges::find(kEfforts, name, &Effort::name);
  return found == std::end(kEfforts) ? nullptr : found;
}

void apply_thinking(const Thinking& thinking, const service::Model& model,
                    const boost::json::object* kwargs, service::JsonWriter& json,
                    service::Request& request) {
  const auto add = [&](const char* name, auto value) {
    if (kwargs == nullptr || !kwargs->contains(name)) json.field(name, value);
  };
  std::optional<bool> enabled = thinking.enabled;
  std::optional<int> tokens_max = thinking.tokens_max;
  if (thinking.effort != nullptr) {
    if (thinking.effort->level.empty()) {
      if (!enabled) enabled = false;
    } else if (takes_effort(model)) {
      add("reasoning_effort", thinking.effort->level);
    } else if (!tokens_max && thinking.effort->tokens_max >= 0) {
      tokens_max = thinking.effort->tokens_max;
    }
  }
  if (tokens_max == 0 && !enabled) enabled = false;
  if (enabled) {
    add("enable_thinking", *enabled);
    add("thinking", *enabled);
  }
  if (enabled == false) tokens_max = 0;  // where the template cannot, the thinking is closed
  request.reading.reasoning_tokens_max = tokens_max;
}

}  // namespace pippin::api
