#include "service/chat/prompt_parts.h"

#include <algorithm>

namespace pippin::service {
namespace {

/// A part's own text in the prompt.
struct Found {
  size_t begin = 0, end = 0;
  std::string name;
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

/// What of a message stands in a prompt for sure: its text, or the name of the first function it
/// calls. Templates trim texts.
std::string_view sign_of(const Message& message) {
  for (const Part& part : message.parts) {
    if (const std::string_view text = trimmed(std::get<TextPart>(part).text); !text.empty())
      return text;
  }
  return message.tool_calls.empty() ? std::string_view() : message.tool_calls.front().name;
}

void find_messages(const Conversation& conversation, std::string_view prompt,
                   std::vector<Found>& found) {
  size_t at = 0;
  for (size_t i = 0; i < conversation.messages.size(); ++i) {
    const Message& message = conversation.messages[i];
    const std::string_view sign = sign_of(message);
    const size_t begin = sign.empty() ? std::string_view::npos : prompt.find(sign, at);
    if (begin == std::string_view::npos) continue;
    at = begin + sign.size();
    const bool is_system =
        i == 0 && (message.role == Role::kSystem || message.role == Role::kDeveloper);
    found.push_back({begin, at, is_system ? "system" : "messages[" + std::to_string(i) + "]"});
  }
}

// Templates write tools behind the system message's text, or before it.
void find_tools(const Conversation& conversation, std::string_view prompt,
                std::vector<Found>& found) {
  if (conversation.tools.empty()) return;
  const std::string name = "\"" + conversation.tools.front().name + "\"";
  const bool has_system = !found.empty() && found.front().name == "system";
  size_t begin = prompt.find(name, has_system ? found.front().end : 0);
  const size_t messages =
      found.size() > (has_system ? 1 : 0) ? found[has_system ? 1 : 0].begin : prompt.size();
  if (begin >= messages) begin = prompt.find(name);
  if (begin >= messages) return;
  found.push_back({begin, begin + name.size(), "tools"});
  std::ranges::sort(found, {}, &Found::begin);
}

}  // namespace

std::string part_of(const Conversation& conversation, const std::vector<Token>& prompt,
                    const text::Tokenizer& tokenizer, int token) {
  std::string text;
  size_t at = std::string::npos;
  for (size_t i = 0; i < prompt.size(); ++i) {
    if (i == static_cast<size_t>(token)) at = text.size();
    text += tokenizer.token_bytes(prompt[i], true);
  }
  std::vector<Found> found;
  find_messages(conversation, text, found);
  find_tools(conversation, text, found);
  std::string name;
  for (size_t i = 0; i < found.size(); ++i) {
    // The template's words between two parts announce the second one. Where only a beginning of
    // the first is known, they are told apart by where the second one's text begins.
    const bool whole = i > 0 && found[i - 1].name != "tools";
    const size_t begin = i == 0 ? 0 : whole ? found[i - 1].end : found[i].begin;
    if (begin <= at) name = found[i].name;
  }
  return name;
}

}  // namespace pippin::service
