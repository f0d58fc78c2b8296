// Any text, read as a Modelfile's template and run with a conversation: an error, or a text of
// bounded size. What cannot be checked cannot be run.
#include <cstdlib>

#include "api/ollama/go_template.h"
#include "target.h"

using namespace pippin;

namespace {

service::Conversation conversation() {
  service::Conversation talk;
  for (const auto& [role, text] :
       {std::pair(service::Role::kSystem, "be short"), std::pair(service::Role::kUser, "hello"),
        std::pair(service::Role::kAssistant, "hi"), std::pair(service::Role::kUser, "and now?")}) {
    service::Message message;
    message.role = role;
    message.parts.emplace_back(service::TextPart{text});
    talk.messages.push_back(std::move(message));
  }
  return talk;
}

}  // namespace

void pippin::fuzz::one_input(std::string_view input) {
  static const service::Conversation talk = conversation();
  const bool known = api::ollama::check_go_template(input).ok();
  const auto spans = api::ollama::render_go_template(input, talk);
  if (spans.ok() && !known) std::abort();
  if (!spans.ok() && known && spans.error().code != Code::kTooLarge) std::abort();
}
